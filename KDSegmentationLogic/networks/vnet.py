"""The V-Net of ProtoKD (Wang et al., ICASSP 2023, arXiv:2303.09830).

After Milletari et al. (3DV 2016, arXiv:1606.04797), without its residuals, in kernels of 3.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from KDSegmentationLogic.networks.base import SegmentationNetwork, check_widths, u_shaped

_MOST_CONVOLUTIONS = 3


class VNet3D(SegmentationNetwork):
    """One convolution at full resolution, two a level below, then three; added skips.

    Parameters
    ----------
    in_channels, classes : channels of input and output.
    widths : channels a level, full resolution first.

    Notes
    -----
    The released counts (9,448,116 parameters for four channels and four classes, 9,446,820 for
    one channel) have one solution: convolutions of kernel 3 without bias, strided and transposed
    ones of kernel 2 with bias, batch norm after each, a classifier with bias, and a decoder with
    as many convolutions a level as the encoder.
    """

    def __init__(
        self, in_channels: int, classes: int, widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    ) -> None:
        check_widths(widths)
        depths = [min(level, _MOST_CONVOLUTIONS) for level in range(1, len(widths) + 1)]
        divisor = 2 ** (len(widths) - 1)
        # a convolution reaches one voxel of its level; down and up, the rest of a cell of two
        reach = sum(2 * depth * 2**level for level, depth in enumerate(depths[:-1]))
        radius = reach + depths[-1] * divisor + divisor - 1
        super().__init__(in_channels, classes, (divisor,) * 3, (radius,) * 3)
        self.encoder = nn.ModuleList(
            _convolutions(in_channels if level == 0 else width, width, depth)
            for level, (width, depth) in enumerate(zip(widths, depths, strict=True))
        )
        self.down = nn.ModuleList(
            _normed(nn.Conv3d(fine, deep, 2, stride=2), deep) for fine, deep in pairwise(widths)
        )
        self.up = nn.ModuleList(
            _normed(nn.ConvTranspose3d(deep, fine, 2, stride=2), fine)
            for fine, deep in pairwise(widths)
        )
        self.decoder = nn.ModuleList(
            _convolutions(width, width, depth)
            for width, depth in zip(widths[:-1], depths[:-1], strict=True)
        )
        self.classifier = nn.Conv3d(widths[0], classes, 1)

    def layers(self) -> dict[str, nn.Module]:
        return u_shaped(self.encoder, self.decoder)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, classes, z, y, x]`` of an image ``[n, in_channels, z, y, x]``."""
        self.check_input(x)
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(x if level == 0 else self.down[level - 1](x))
            skips.append(x)
        skips.pop()
        for up, block in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = block(skips.pop() + up(x))
        return self.classifier(x)


def _convolutions(channels: int, width: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (channels, *(width,) * (count - 1)):
        layers += _normed(nn.Conv3d(inputs, width, 3, padding=1, bias=False), width)
    return nn.Sequential(*layers)


def _normed(convolution: nn.Module, width: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm3d(width), nn.ReLU(inplace=True))
