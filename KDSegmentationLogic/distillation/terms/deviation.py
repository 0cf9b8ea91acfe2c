"""The student's second head learns how much the members of the ensemble disagree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.voxelwise import VoxelTerm


@dataclass(frozen=True)
class Deviation(VoxelTerm):
    """Sum over classes, mean over voxels, of (predicted - ensemble's standard deviation)^2.

    The optional head of Noothout et al. 2022 (doi:10.1117/1.JMI.9.5.052407). Standard
    deviations of probabilities go from 0 to 0.5.
    """

    reads_deviation: ClassVar[bool] = True

    def voxels(self, lesson: Lesson) -> torch.Tensor:
        if lesson.deviation is None:
            raise ValueError("the student has no second head")
        error = lesson.deviation.float() - lesson.soft_deviation
        return error.square().sum(dim=1)
