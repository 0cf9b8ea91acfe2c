"""Probabilities at a temperature, and how far two of them are apart."""

from __future__ import annotations

import torch


def check_temperature(temperature: float) -> None:
    """ValueError unless it is above zero."""
    if not temperature > 0:
        raise ValueError("the temperature must be above zero")


def soften(probabilities: torch.Tensor, temperature: float) -> torch.Tensor:
    """q^(1/T), normalised over the classes (axis 1); a 0 stays 0."""
    softened = probabilities ** (1 / temperature)
    return softened / softened.sum(dim=1, keepdim=True)


def divergence(teacher: torch.Tensor, log_student: torch.Tensor, dim: int = 1) -> torch.Tensor:
    """KL(teacher || student) along an axis, of probabilities and of log-probabilities."""
    return (torch.xlogy(teacher, teacher) - teacher * log_student).sum(dim=dim)


def log_probabilities(probabilities: torch.Tensor, least: float = 1 / 510) -> torch.Tensor:
    """The logarithm of a teacher's probabilities, which are logits but for a constant a voxel.

    A stored probability of 0 stands for anything below half a step of 1/255; ``least`` is that.
    """
    return probabilities.clamp_min(least).log()
