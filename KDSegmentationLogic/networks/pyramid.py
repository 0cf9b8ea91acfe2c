"""A 2-D network that looks at several scales at once, after DeepLab v3+.

Chen et al. 2018 (arXiv:1802.02611), small: residual blocks for a backbone, and no pooling over
the whole image, which would make the output at a pixel depend on how far the image goes.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from KDSegmentationLogic.networks.base import SegmentationNetwork, check_widths


class PyramidNetwork2D(SegmentationNetwork):
    """Strided residual levels, parallel dilated convolutions at the deepest, one skip.

    Parameters
    ----------
    in_channels, classes : channels of input and output.
    widths : channels a level; the first is at half the input's resolution, each further one at
        half of the one before. The logits are made at the resolution of the first.
    rates : dilations of the parallel 3x3 convolutions, beside a 1x1 one.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        widths: tuple[int, ...] = (16, 32, 64),
        rates: tuple[int, ...] = (2, 4, 8),
    ) -> None:
        check_widths(widths)
        if not rates:
            raise ValueError("rates must name at least one dilation.")
        deepest = 2 ** len(widths)
        super().__init__(in_channels, classes, (deepest,) * 2, (_radius(len(widths), rates),) * 2)
        levels: list[nn.Module] = [_Residual(in_channels, widths[0])]
        levels += [_Residual(fine, deep) for fine, deep in pairwise(widths)]
        self.encoder = nn.ModuleList(levels)
        first, last = widths[0], widths[-1]
        self.pyramid = nn.ModuleList(
            [_normed(nn.Conv2d(last, last // 2 or 1, 1, bias=False))]
            + [
                _normed(nn.Conv2d(last, last // 2 or 1, 3, padding=r, dilation=r, bias=False))
                for r in rates
            ]
        )
        joined = (len(rates) + 1) * (last // 2 or 1)
        self.project = _normed(nn.Conv2d(joined, first, 1, bias=False))
        self.decoder = _normed(nn.Conv2d(2 * first, first, 3, padding=1, bias=False))
        self.classifier = nn.Conv2d(first, classes, 1)

    def layers(self) -> dict[str, nn.Module]:
        """``last``, ``bottleneck`` and ``encoder1`` (half the resolution) downwards."""
        down = {f"encoder{level}": block for level, block in enumerate(self.encoder, 1)}
        return {"last": self.decoder, "bottleneck": self.project, **down}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, classes, y, x]`` of an image ``[n, in_channels, y, x]``."""
        self.check_input(x)
        fine = x = self.encoder[0](x)
        for level in self.encoder[1:]:
            x = level(x)
        scales = self.project(torch.cat([branch(x) for branch in self.pyramid], dim=1))
        up = _enlarged(scales, 2 ** (len(self.encoder) - 1))
        return _enlarged(self.classifier(self.decoder(torch.cat((fine, up), dim=1))), 2)


class _Residual(nn.Module):
    """A strided and a plain 3x3 convolution round a strided 1x1 one."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _normed(nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.short = nn.Sequential(
            nn.Conv2d(channels, width, 1, stride=2, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` at half its resolution."""
        return functional.relu(self.body(x) + self.short(x))


def _normed(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(
        convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)
    )


def _enlarged(x: torch.Tensor, factor: int) -> torch.Tensor:
    if factor == 1:
        return x
    return functional.interpolate(
        x, scale_factor=float(factor), mode="bilinear", align_corners=False
    )


def _radius(levels: int, rates: tuple[int, ...]) -> int:
    """Reach in pixels: of every convolution its dilation times its stride on the input."""
    deepest = 2**levels
    # down: a strided convolution reaches one pixel of the finer level, the plain one of its own
    down = sum(2 ** (level - 1) + 2**level for level in range(1, levels + 1))
    up = deepest if levels > 1 else 0
    return down + max(rates) * deepest + up + 2 + 2
