"""Kullback-Leibler divergence of the student from the teacher, both softened alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class KLDivergence:
    """T^2 * KL(teacher_T || student_T): sum over classes, mean over voxels.

    Hinton et al. 2015 (arXiv:1503.02531). The teacher is known by its probabilities q, so it is
    softened as q^(1/T), normalised, which for a single network is softmax(logits / T); a
    probability that was stored as 0 stays 0. T^2 keeps the size of the gradient when T changes.
    An implementation that averages over classes and leaves out T^2 needs its weight divided by
    k * T^2 to mean the same.

    Raises
    ------
    ValueError : a temperature that is not above zero.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError("the temperature must be above zero")

    def __call__(self, logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """``logits``: student's, [n, k, ...]; ``teacher``: probabilities, not differentiated."""
        log_student = torch.log_softmax(logits.float() / self.temperature, dim=1)
        softened = teacher.detach().float() ** (1 / self.temperature)
        softened = softened / softened.sum(dim=1, keepdim=True)
        divergence = (torch.xlogy(softened, softened) - softened * log_student).sum(dim=1)
        return self.temperature**2 * divergence.mean()
