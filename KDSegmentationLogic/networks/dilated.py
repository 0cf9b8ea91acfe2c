"""The dilated 2-D network of Noothout et al. (J. Med. Imaging 9(5):052407, 2022)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from KDSegmentationLogic.networks.base import SegmentationNetwork


class DilatedNetwork2D(SegmentationNetwork):
    """Eight valid 3x3 convolutions of growing dilation, then a 1x1 classifier.

    The input is padded once with zeros by the receptive field's radius, so that the output has
    the input's size and equals the valid network's wherever the padding is out of reach.

    Parameters
    ----------
    in_channels, classes : channels of input and output.
    width : channels of the 3x3 convolutions.
    head : channels of the two hidden 1x1 convolutions.
    dilations : dilation of the 3x3 convolutions between the two plain ones and the last plain
        one; the default sees 131 x 131 pixels.
    dropout : rate at which whole channels are dropped in the head during training.

    Notes
    -----
    The published counts (88,069 parameters for 5 classes, 87,876 for 4, 88,455 for 7, one input
    channel) hold only with a bias in every convolution and batch norm before the first two 1x1
    convolutions (32 and 96 channels). None follows the 3x3 convolutions or precedes the last
    1x1 convolution. The one other solution (a norm of 192 channels, none of 96) contradicts
    the described order of layers.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        width: int = 32,
        head: tuple[int, int] = (96, 192),
        dilations: tuple[int, ...] = (2, 4, 8, 16, 32),
        dropout: float = 0.5,
    ) -> None:
        rates = (1, 1, *dilations, 1)
        self.radius = sum(rates)
        super().__init__(in_channels, classes, (1, 1), (self.radius, self.radius))
        layers: list[nn.Module] = []
        channels = in_channels
        for rate in rates:
            layers += [nn.Conv2d(channels, width, 3, dilation=rate), nn.ReLU(inplace=True)]
            channels = width
        self.context = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Dropout2d(dropout),
            nn.Conv2d(width, head[0], 1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(head[0]),
            nn.Dropout2d(dropout),
            nn.Conv2d(head[0], head[1], 1),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Conv2d(head[1], classes, 1)

    def layers(self) -> dict[str, nn.Module]:
        return {"last": self.head, "bottleneck": self.context}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[n, classes, y, x]`` of an image ``[n, in_channels, y, x]``."""
        self.check_input(x)
        return self.forward_valid(functional.pad(x, (self.radius,) * 4))

    def forward_valid(self, x: torch.Tensor) -> torch.Tensor:
        """Logits without padding: smaller than ``x`` by the radius on every side."""
        return self.classifier(self.head(self.context(x)))
