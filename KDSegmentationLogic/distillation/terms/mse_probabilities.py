"""Squared error between the student's and the teacher's probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.voxelwise import VoxelTerm


@dataclass(frozen=True)
class MseProbabilities(VoxelTerm):
    """Sum over classes, mean over voxels, of (softmax(student) - teacher)^2.

    Noothout et al. 2022 (doi:10.1117/1.JMI.9.5.052407): their sum over classes of a mean
    squared error over voxels is the same number, so their weight 1 is our weight 1.
    """

    def voxels(self, lesson: Lesson) -> torch.Tensor:
        error = torch.softmax(lesson.logits.float(), dim=1) - lesson.soft
        return error.square().sum(dim=1)
