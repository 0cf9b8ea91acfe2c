"""Kullback-Leibler divergence of the student from the teacher, both softened alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.softening import check_temperature, divergence, soften
from KDSegmentationLogic.distillation.terms.voxelwise import VoxelTerm


@dataclass(frozen=True)
class KLDivergence(VoxelTerm):
    """T^2 * KL(teacher_T || student_T): sum over classes, mean over voxels.

    Hinton et al. 2015 (arXiv:1503.02531). The teacher is known by its probabilities q, so it is
    softened as q^(1/T), normalised, which for a single network is softmax(logits / T). T^2 keeps
    the size of the gradient when T changes. An implementation that averages over classes and
    leaves out T^2 needs its weight divided by k * T^2 to mean the same.

    Raises
    ------
    ValueError : a temperature out of 0.1 to 100.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def voxels(self, lesson: Lesson) -> torch.Tensor:
        log_student = torch.log_softmax(lesson.logits.float() / self.temperature, dim=1)
        softened = soften(lesson.soft, self.temperature)
        return self.temperature**2 * divergence(softened, log_student)
