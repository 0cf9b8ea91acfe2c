"""Squared error between the student's and the teacher's probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class MseProbabilities:
    """Sum over classes, mean over voxels, of (softmax(student) - teacher)^2.

    Noothout et al. 2022 (doi:10.1117/1.JMI.9.5.052407): their sum over classes of a mean
    squared error over voxels is the same number, so their weight 1 is our weight 1.
    """

    def __call__(self, logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """``logits``: student's, [n, k, ...]; ``teacher``: probabilities, not differentiated."""
        error = torch.softmax(logits.float(), dim=1) - teacher.detach().float()
        return error.square().sum(dim=1).mean()
