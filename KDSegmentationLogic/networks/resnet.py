"""The 3-D residual network of Noothout et al. (J. Med. Imaging 9(5):052407, 2022)."""

from __future__ import annotations

import torch
from torch import nn

from KDSegmentationLogic.networks.base import SegmentationNetwork


class ResidualBlock(nn.Module):
    """Pre-activation block: two 3x3x3 convolutions of equal width around a plain sum."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            nn.Conv3d(width, width, 3, padding=1),
            nn.BatchNorm3d(width),
            nn.Dropout(dropout),
            nn.ReLU(inplace=True),
            nn.Conv3d(width, width, 3, padding=1),
            nn.Dropout(dropout),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` plus its residual, same shape."""
        return x + self.body(x)


class ResNet3D(SegmentationNetwork):
    """Two stride-2 convolutions, residual blocks at a quarter of the resolution, and back.

    Parameters
    ----------
    in_channels, classes : channels of input and output.
    width : channels at full resolution; twice and four times as many below.
    blocks : number of residual blocks.
    dropout : rate in the blocks and in the head during training.

    Notes
    -----
    The published count (5,869,029 parameters for 5 classes, one input channel) needs kernels
    of 3 in the strided and transposed convolutions. With a bias in every convolution it leaves
    640 parameters, batch norm for 320 channels: exactly one norm after each of the stem, the
    two strided and the two transposed convolutions (32 + 64 + 128 + 64 + 32). Other ways to
    spend the 640 exist; this is the one that treats these five layers alike. The head is
    without norm.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        width: int = 32,
        blocks: int = 6,
        dropout: float = 0.5,
    ) -> None:
        # Stem 1; down 1 + 2; two convolutions a block at stride 4; up 2 + 1.
        radius = 7 + 8 * blocks
        super().__init__(in_channels, classes, (4, 4, 4), (radius, radius, radius))
        self.encoder = nn.Sequential(
            *_normed(nn.Conv3d(in_channels, width, 3, padding=1)),
            *_normed(nn.Conv3d(width, 2 * width, 3, stride=2, padding=1)),
            *_normed(nn.Conv3d(2 * width, 4 * width, 3, stride=2, padding=1)),
        )
        self.blocks = nn.Sequential(*(ResidualBlock(4 * width, dropout) for _ in range(blocks)))
        self.decoder = nn.Sequential(
            *_normed(_doubling(4 * width, 2 * width)),
            *_normed(_doubling(2 * width, width)),
        )
        self.head = nn.Sequential(
            nn.Dropout3d(dropout),
            nn.Conv3d(width, width, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.classifier = nn.Conv3d(width, classes, 1)

    def layers(self) -> dict[str, nn.Module]:
        # three modules a step: convolution, norm, ReLU
        down = {f"encoder{level}": self.encoder[3 * level - 1] for level in (1, 2, 3)}
        up = {"decoder1": self.decoder[5], "decoder2": self.decoder[2]}
        return {"last": self.head, "bottleneck": self.blocks, **down, **up}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, classes, z, y, x]`` of an image ``[n, in_channels, z, y, x]``."""
        self.check_input(x)
        features = self.decoder(self.blocks(self.encoder(x)))
        return self.classifier(self.head(features))


def _doubling(channels: int, out_channels: int) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(channels, out_channels, 3, stride=2, padding=1, output_padding=1)


def _normed(convolution: nn.Conv3d | nn.ConvTranspose3d) -> tuple[nn.Module, ...]:
    norm = nn.BatchNorm3d(convolution.out_channels)
    return convolution, norm, nn.ReLU(inplace=True)
