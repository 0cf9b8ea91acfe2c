"""The student's probabilities rise and fall with the teacher's: DIST."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.base import Term
from KDSegmentationLogic.distillation.terms.softening import check_temperature, soften


@dataclass(frozen=True)
class Correlation(Term):
    """T^2 * (between * mean over voxels of (1 - r_voxel) + within * sum over classes of (1 - r_k)).

    DIST, Huang et al. 2022 (arXiv:2205.10536). r_voxel is Pearson's correlation of student and
    teacher over the classes of one voxel, r_k that over all voxels of the batch of one class,
    both of the probabilities at temperature T. Their beta is ``between``; their gamma is for the
    mean over k classes and so k times ``within``. A voxel or a class of which the teacher says
    the same everywhere has no correlation and does not count. Of two classes r_voxel is a sign.

    Raises
    ------
    ValueError : a temperature out of 0.1 to 100, or a weight below zero.
    """

    temperature: float = 4.0
    between: float = 1.0
    within: float = 1.0

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        if min(self.between, self.within) < 0 or self.between == self.within == 0:
            raise ValueError("between and within must not be below zero, and not both zero")

    @property
    def fewest_classes(self) -> int:
        return 3 if self.within == 0 else 2  # a sign has no slope

    def __call__(
        self,
        lesson: Lesson,
        adapters: nn.Module | None = None,  # noqa: ARG002
    ) -> Tensor:
        own = torch.softmax(lesson.logits.float() / self.temperature, dim=1)
        aim = soften(lesson.soft, self.temperature)
        voxels, classes = _apart(own, aim, 1).mean(), _apart(_rows(own), _rows(aim), 1).sum()
        return self.temperature**2 * (self.between * voxels + self.within * classes)


def _rows(probabilities: Tensor) -> Tensor:
    """[k, voxels of the whole batch] of [n, k, ...]."""
    return probabilities.transpose(0, 1).flatten(1)


def _apart(student: Tensor, teacher: Tensor, dim: int) -> Tensor:
    """1 - Pearson's correlation along an axis; 0 where the teacher has none."""
    own, aim = _direction(student, dim), _direction(teacher, dim)
    there = (aim != 0).any(dim)
    return there * (1 - (own * aim).sum(dim))


def _direction(values: Tensor, dim: int) -> Tensor:
    """Deviations from the mean at length one; 0 where there are none but of rounding."""
    centred = values - values.mean(dim, keepdim=True)
    length = torch.linalg.vector_norm(centred, dim=dim, keepdim=True)
    least = 1e-6 * values.shape[dim] ** 0.5
    return torch.where(length > least, centred / length.clamp_min(least), 0 * centred)
