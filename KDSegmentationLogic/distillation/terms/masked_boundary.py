"""The teacher's features restored from the student's, of which the borders are masked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from KDSegmentationLogic.distillation.terms.features import FeatureTerm
from KDSegmentationLogic.distillation.terms.voxelwise import boundary


@dataclass(frozen=True)
class MaskedBoundary(FeatureTerm):
    """Mean over channels and voxels of (g(mask * f_student) - f_teacher / RMS)^2.

    After the masked boundary features of Zhang and Lu 2024 (doi:10.1007/s11517-024-03095-y):
    the student's features near the borders of the labels are masked at random, and a trained
    generator g has to restore the teacher's, all of them. Their weights, generator and
    normalisation are not public; ours are: two convolutions of 3 with a ReLU between, and the
    teacher's features of each sample divided by their root mean square, so that 0 is a perfect
    copy, and 1 what a g of zero costs, whatever the teacher. One random pattern serves all
    samples of a batch. The cascade of several heads (M2BF) is not part of it.

    share : of the voxels near a border, how many are masked. radius : how far from a border,
    in voxels of the image, that is. width : channels within the generator.

    Raises
    ------
    ValueError : a share that is not above 0 and up to 1, a radius or a width below 1.
    """

    share: float = 0.5
    radius: int = 1
    width: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise ValueError("the share must be above 0, and at most 1")
        if self.radius < 1 or self.width < 1:
            raise ValueError("the radius and the width must be 1 or more")

    def adapters(
        self, student: Mapping[str, int], teacher: Mapping[str, int], dimensions: int
    ) -> nn.Module:
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        return nn.ModuleDict(
            {
                name: nn.Sequential(
                    convolution(student[name], self.width, 3, padding=1),
                    nn.ReLU(),
                    convolution(self.width, teacher[name], 3, padding=1),
                )
                for name in self.layers
            }
        )

    def compare(
        self, student: Tensor, teacher: Tensor, labels: Tensor, adapter: nn.Module | None
    ) -> Tensor:
        if adapter is None:
            raise ValueError("the masked boundary features need their generator")
        near = _near_borders(labels, self.radius, tuple(teacher.shape[2:]))
        drawn = torch.rand(near.shape[1:], device=near.device) < self.share
        restored = adapter(student * ~(near & drawn).unsqueeze(1)).float()
        return (restored - _normalised(teacher)).square().mean()


def _near_borders(labels: Tensor, radius: int, size: tuple[int, ...]) -> Tensor:
    """Bool [n, ...] at the size of a layer: whether any voxel within is that near to a border.

    A voxel beside another label is at 1.
    """
    dimensions = labels.dim() - 1
    pool = {2: functional.max_pool2d, 3: functional.max_pool3d}[dimensions]
    fit = {2: functional.adaptive_max_pool2d, 3: functional.adaptive_max_pool3d}[dimensions]
    near = boundary(labels).float().unsqueeze(1)
    near = pool(near, 2 * radius - 1, stride=1, padding=radius - 1)
    return fit(near, size).squeeze(1) > 0


def _normalised(features: Tensor) -> Tensor:
    """Each sample at a root mean square of 1; the largest is taken out first, or its square
    would overflow."""
    axes = tuple(range(1, features.dim()))
    scaled = features / features.abs().amax(axes, keepdim=True).clamp_min(1e-12)
    return scaled / torch.sqrt(scaled.square().mean(axes, keepdim=True).clamp_min(1e-24))
