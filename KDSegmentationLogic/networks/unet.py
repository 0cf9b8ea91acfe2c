"""The 3-D U-Net of Noothout et al. (J. Med. Imaging 9(5):052407, 2022).

After Çiçek et al. (MICCAI 2016).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from KDSegmentationLogic.networks.base import SegmentationNetwork, check_widths, u_shaped


class UNet3D(SegmentationNetwork):
    """Max-pool down, transposed convolution up, concatenated skips, two convolutions a level.

    Parameters
    ----------
    in_channels, classes : channels of input and output.
    widths : channels a level, full resolution first.

    Notes
    -----
    The published count (5,602,661 parameters for 5 classes, one input channel) has one
    solution: every convolution with bias and batch norm, transposed convolutions of kernel 2
    with bias and without norm that halve the channels, a classifier with bias.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        widths: tuple[int, ...] = (32, 64, 128, 256),
    ) -> None:
        check_widths(widths)
        divisor = 2 ** (len(widths) - 1)
        # Two convolutions at each stride, on the way down and (but for the deepest) up; a
        # pooling and a doubling between two levels reach one voxel of the finer level each.
        radius = 2 * divisor + 6 * (divisor - 1)
        super().__init__(in_channels, classes, (divisor,) * 3, (radius,) * 3)
        inputs = (in_channels, *widths)
        self.encoder = nn.ModuleList(
            _two_convolutions(a, b) for a, b in zip(inputs, widths, strict=False)
        )
        self.pool = nn.MaxPool3d(2)
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(deep, fine, 2, stride=2) for fine, deep in pairwise(widths)
        )
        self.decoder = nn.ModuleList(_two_convolutions(2 * fine, fine) for fine in widths[:-1])
        self.classifier = nn.Conv3d(widths[0], classes, 1)

    def layers(self) -> dict[str, nn.Module]:
        return u_shaped(self.encoder, self.decoder)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, classes, z, y, x]`` of an image ``[n, in_channels, z, y, x]``."""
        self.check_input(x)
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        skips.pop()
        for up, block in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = block(torch.cat((skips.pop(), up(x)), dim=1))
        return self.classifier(x)


def _two_convolutions(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (channels, width):
        layers += [
            nn.Conv3d(inputs, width, 3, padding=1),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
