"""Where a layer is active: the student's map of it follows the teacher's (EMKD's IMD)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from KDSegmentationLogic.distillation.terms.features import FeatureTerm


@dataclass(frozen=True)
class AttentionTransfer(FeatureTerm):
    """Mean over voxels of (A_student - A_teacher)^2, with A = mean_c |f_c|^power at RMS 1.

    The importance map distillation of EMKD, Qin et al. 2021 (arXiv:2108.09987), with its
    power of 4; with 2 it is the activation-based attention transfer of Zagoruyko and Komodakis
    2017 (arXiv:1612.03928). The map of each sample is divided by its root mean square, so that
    the mean over voxels is the squared distance of two maps of unit length, between 0 and 2:
    EMKD's weight, 0.9 for the sum over a low and a high layer, stays as it is. A code that also
    averages the squared distance over the voxels of the map needs its weight divided by their
    number.

    Raises
    ------
    ValueError : a power below 1.
    """

    power: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.power >= 1:
            raise ValueError("the power must be 1 or more")

    def compare(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: Tensor,  # noqa: ARG002
        adapter: nn.Module | None,  # noqa: ARG002
    ) -> Tensor:
        difference = self._map(student) - self._map(teacher)
        return difference.square().mean()

    def _map(self, features: Tensor) -> Tensor:
        """[n, voxels]; the largest value is taken out first, or its power would overflow."""
        strength = features.abs().flatten(2)
        largest = strength.detach().amax((1, 2), keepdim=True).clamp_min(1e-12)
        attention = (strength / largest).pow(self.power).mean(1)
        square = attention.square().mean(1, keepdim=True)
        return attention / torch.sqrt(square.clamp_min(1e-24))
