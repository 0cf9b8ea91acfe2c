"""Probabilities at a temperature, and how far two of them are apart."""

from __future__ import annotations

import torch

from KDSegmentationLogic.distillation.lesson import Lesson

# of a teacher's probability that is told from nothing, stored or not
_LEAST = 1e-16


def check_temperature(temperature: float) -> None:
    """ValueError unless it is one at which single precision tells probabilities apart."""
    if not 0.1 <= temperature <= 100:
        raise ValueError("the temperature must be from 0.1 to 100")


def soften(probabilities: torch.Tensor, temperature: float) -> torch.Tensor:
    """q^(1/T), normalised over the classes (axis 1); a 0 stays 0."""
    softened = probabilities ** (1 / temperature)
    return softened / softened.sum(dim=1, keepdim=True)


def divergence(teacher: torch.Tensor, log_student: torch.Tensor, dim: int = 1) -> torch.Tensor:
    """KL(teacher || student) along an axis, of probabilities and of log-probabilities."""
    return (torch.xlogy(teacher, teacher) - teacher * log_student).sum(dim=dim)


def log_probabilities(probabilities: torch.Tensor) -> torch.Tensor:
    """The logarithm of a teacher's probabilities, which are logits but for a constant a voxel."""
    return probabilities.clamp_min(_LEAST).log()


def both_log_probabilities(lesson: Lesson) -> tuple[torch.Tensor, torch.Tensor]:
    """Those of student and teacher, float32 [n, k, ...].

    Where the teacher says nothing that can be told from 0, a student that says less yet agrees.
    """
    aim = log_probabilities(lesson.soft)
    own = torch.log_softmax(lesson.logits.float(), dim=1)
    lowest = log_probabilities(torch.zeros_like(aim))
    return torch.where(aim <= lowest, own.maximum(lowest), own), aim
