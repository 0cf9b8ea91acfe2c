"""The student's second head learns how much the members of the ensemble disagree."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Deviation:
    """Sum over classes, mean over voxels, of (predicted - ensemble's standard deviation)^2.

    The optional head of Noothout et al. 2022 (doi:10.1117/1.JMI.9.5.052407).
    """

    def __call__(self, predicted: torch.Tensor, members: torch.Tensor) -> torch.Tensor:
        """Both [n, k, ...], standard deviations from 0 to 0.5; ``members`` is the target."""
        return (predicted.float() - members.detach().float()).square().sum(dim=1).mean()
