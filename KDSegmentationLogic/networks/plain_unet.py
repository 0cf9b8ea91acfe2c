"""A 3-D U-Net as nnU-Net plans it: instance norm, strided convolutions, leaky ReLU.

After Isensee et al. (Nature Methods 18:203-211, 2021).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from KDSegmentationLogic.networks.base import SegmentationNetwork, check_widths


class PlainUNet(SegmentationNetwork):
    """Two convolutions a level, concatenated skips, transposed convolutions up.

    Parameters
    ----------
    in_channels, classes : channels of input and output.
    widths : channels a level, full resolution first.

    Notes
    -----
    Instance norm takes its statistics from all that the network is shown, so the output in a
    window differs from the one in a whole volume: a bundle's member has ``whole`` false. The
    ``receptive_field`` is that of the convolutions alone, without these statistics.
    """

    def __init__(
        self, in_channels: int, classes: int, widths: tuple[int, ...] = (8, 16, 32, 64, 128)
    ) -> None:
        check_widths(widths)
        divisor = 2 ** (len(widths) - 1)
        radius = 2 * divisor + 6 * (divisor - 1)
        super().__init__(in_channels, classes, (divisor,) * 3, (radius,) * 3)
        self.encoder = nn.ModuleList()
        channels = in_channels
        for level, width in enumerate(widths):
            self.encoder.append(_two_convolutions(channels, width, 1 if level == 0 else 2))
            channels = width
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(deep, fine, 2, stride=2) for fine, deep in pairwise(widths)
        )
        self.decoder = nn.ModuleList(_two_convolutions(2 * fine, fine) for fine in widths[:-1])
        self.classifier = nn.Conv3d(widths[0], classes, 1)

    def layers(self) -> dict[str, nn.Module]:
        down = {f"encoder{level}": block for level, block in enumerate(self.encoder, 1)}
        up = {f"decoder{level}": block for level, block in enumerate(self.decoder, 1)}
        last = up.get("decoder1", self.encoder[-1])
        return {"last": last, "bottleneck": self.encoder[-1], **down, **up}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, classes, z, y, x]`` of an image ``[n, in_channels, z, y, x]``."""
        self.check_input(x)
        skips: list[torch.Tensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        for up, block in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = block(torch.cat((skips.pop(), up(x)), dim=1))
        return self.classifier(x)


def _two_convolutions(channels: int, width: int, stride: int = 1) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, step in ((channels, stride), (width, 1)):
        layers += [
            nn.Conv3d(inputs, width, 3, stride=step, padding=1),
            nn.InstanceNorm3d(width, affine=True),
            nn.LeakyReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
