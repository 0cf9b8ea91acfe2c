"""Kullback-Leibler divergence of logits that are standardised over the classes first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.softening import (
    both_log_probabilities,
    check_temperature,
    divergence,
)
from KDSegmentationLogic.distillation.terms.voxelwise import VoxelTerm

_LEAST = 1e-3


@dataclass(frozen=True)
class StandardisedKL(VoxelTerm):
    """T^2 * KL(softmax(z_teacher / T) || softmax(z_student / T)), z = (v - mean) / deviation.

    Logit standardisation, Sun et al. 2024 (arXiv:2403.01427): mean and standard deviation (of
    k - 1 degrees of freedom) are those of the k logits v of one voxel, so that a small student
    need not reach the size of its teacher's logits. Sum over classes, mean over voxels: their
    weight of 9 stays as it is. The teacher is known by its probabilities, whose logarithms are
    logits but for a constant that the mean takes out. Of two classes only the sign is left, so
    there must be three.

    Raises
    ------
    ValueError : a temperature out of 0.1 to 100.
    """

    temperature: float = 2.0

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    @property
    def fewest_classes(self) -> int:
        return 3

    def voxels(self, lesson: Lesson) -> Tensor:
        own, aim = (_standardised(v) / self.temperature for v in both_log_probabilities(lesson))
        softened = torch.softmax(aim, dim=1)
        return self.temperature**2 * divergence(softened, torch.log_softmax(own, dim=1))


def _standardised(logits: Tensor) -> Tensor:
    """Over axis 1; the largest is taken out first, or its square would overflow."""
    largest = logits.detach().abs().amax(1, keepdim=True).clamp_min(1)
    scaled = logits / largest
    centred = scaled - scaled.mean(1, keepdim=True)
    variance = centred.square().sum(1, keepdim=True) / (logits.shape[1] - 1)
    # equal logits have no deviation, and a root no slope at 0
    return centred / torch.sqrt(variance + (_LEAST / largest) ** 2)
