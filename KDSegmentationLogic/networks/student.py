"""The student: a small U-Net, 2-D or 3-D, shaped by what a CPU computes quickly."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from KDSegmentationLogic.networks.base import SegmentationNetwork, check_widths, u_shaped


class StudentUNet(SegmentationNetwork):
    """U-Net of batch-normed convolutions, by default behind a stride-2 stem.

    Parameters
    ----------
    in_channels, classes : channels of input and output.
    dimensions : 2 or 3.
    widths : channels a level, the stem's resolution first.
    convs_per_level : 3x3(x3) convolutions a level on the way down and on the way up; on the way
        down the first one is the stem or the stride-2 convolution that enters the level.
    stem_stride : 1 or 2, or one of them per axis ([z,] y, x) for anisotropic voxels.
    deviation : with a second head that learns how much an ensemble's members disagree.

    Notes
    -----
    Skips are added, not concatenated: a quarter less work. One 128³ patch with the default
    widths took 0.26 s against 0.34 s in OpenVINO on two cores (best of seven). Strided
    convolutions took the same time as max-pooling and transposed convolutions the same as
    interpolation; both are learned and keep the graph to convolutions and additions. Widths
    that are not multiples of 8 compute at a lower rate.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        dimensions: int = 3,
        widths: tuple[int, ...] = (24, 48, 96, 160),
        convs_per_level: int = 2,
        stem_stride: int | tuple[int, ...] = 2,
        deviation: bool = False,
    ) -> None:
        check_widths(widths)
        if dimensions not in (2, 3):
            raise ValueError(f"dimensions must be 2 or 3, not {dimensions}.")
        stride = (stem_stride,) * dimensions if isinstance(stem_stride, int) else stem_stride
        if len(stride) != dimensions or not set(stride) <= {1, 2}:
            raise ValueError(f"stem_stride must be 1 or 2, once or per axis, not {stem_stride}.")
        if convs_per_level < 1:
            raise ValueError(f"convs_per_level must be at least 1, not {convs_per_level}.")
        deepest = 2 ** (len(widths) - 1)
        super().__init__(
            in_channels,
            classes,
            tuple(s * deepest for s in stride),
            tuple(_radius(s, deepest, convs_per_level) for s in stride),
        )
        self.stem_stride = stride
        more = convs_per_level - 1
        self.encoder = nn.ModuleList()
        channels = in_channels
        for level, width in enumerate(widths):
            enter = _convolution(dimensions, channels, width, stride if level == 0 else 2)
            rest = (_convolution(dimensions, width, width) for _ in range(more))
            self.encoder.append(nn.Sequential(enter, *rest))
            channels = width
        self.up = nn.ModuleList(
            _doubling(dimensions, deep, fine) for fine, deep in pairwise(widths)
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(*(_convolution(dimensions, w, w) for _ in range(convs_per_level)))
            for w in widths[:-1]
        )
        last = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.classifier = last(widths[0], classes, 1)
        self.deviation = last(widths[0], classes, 1) if deviation else None

    def layers(self) -> dict[str, nn.Module]:
        return u_shaped(self.encoder, self.decoder)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, classes, (z,) y, x]`` of an image ``[n, in_channels, (z,) y, x]``."""
        return self._upsampled(self.forward_low(x))

    def forward_with_deviation(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and the standard deviation of an ensemble's probabilities: 0 to 0.5."""
        if self.deviation is None:
            return super().forward_with_deviation(x)
        features = self.features(x)
        deviation = self._upsampled(self.deviation(features))
        return self._upsampled(self.classifier(features)), deviation.sigmoid() / 2

    def _upsampled(self, low: torch.Tensor) -> torch.Tensor:
        """From the stem's resolution to the input's."""
        if set(self.stem_stride) == {1}:
            return low
        return functional.interpolate(
            low,
            scale_factor=tuple(float(s) for s in self.stem_stride),
            mode="bilinear" if self.dimensions == 2 else "trilinear",
            align_corners=False,
        )

    def forward_low(self, x: torch.Tensor) -> torch.Tensor:
        """Logits at the stem's resolution: the input's size over ``stem_stride`` per axis.

        The low grid covers the same extent: its voxel ``j`` stands for the input voxels
        ``j * stride`` to ``j * stride + stride - 1`` and is centred on them.
        """
        return self.classifier(self.features(x))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the heads read: ``[n, widths[0], ...]`` at the stem's resolution."""
        self.check_input(x)
        skips: list[torch.Tensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        for up, block in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = block(up(x) + skips.pop())
        return x


def _convolution(
    dimensions: int, channels: int, width: int, stride: int | tuple[int, ...] = 1
) -> nn.Sequential:
    """3x3(x3) convolution without bias, batch norm, ReLU."""
    convolution, norm = (
        (nn.Conv2d, nn.BatchNorm2d) if dimensions == 2 else (nn.Conv3d, nn.BatchNorm3d)
    )
    return nn.Sequential(
        convolution(channels, width, 3, stride=stride, padding=1, bias=False),  # type: ignore[arg-type]
        norm(width),
        nn.ReLU(inplace=True),
    )


def _doubling(dimensions: int, channels: int, width: int) -> nn.Sequential:
    """Transposed convolution of kernel and stride 2, batch norm."""
    transposed, norm = (
        (nn.ConvTranspose2d, nn.BatchNorm2d)
        if dimensions == 2
        else (nn.ConvTranspose3d, nn.BatchNorm3d)
    )
    return nn.Sequential(transposed(channels, width, 2, stride=2, bias=False), norm(width))


def _radius(stride: int, deepest: int, convolutions: int) -> int:
    """Reach along an axis, in input voxels.

    Stem 1, interpolation of the logits ``stride``; each further convolution its own stride in
    input voxels; each halving and each doubling one voxel of the finer of its two levels.
    """
    finer = stride * (deepest - 1)  # sum of the strides of all levels but the deepest
    down = finer + (convolutions - 1) * (finer + stride * deepest)
    up = finer + convolutions * finer
    return 1 + down + up + (stride if stride > 1 else 0)
