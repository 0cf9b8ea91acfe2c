"""What every segmentation network promises to the layers above it."""

from __future__ import annotations

import torch
from torch import nn


class SegmentationNetwork(nn.Module):
    """A network from an image to raw class scores on the same grid.

    ``forward`` takes ``[n, in_channels, (z,) y, x]`` and returns logits
    ``[n, classes, (z,) y, x]`` of the same spatial size, never a softmax. Weights are drawn
    from torch's global generator, so ``torch.manual_seed`` fixes them.

    Attributes
    ----------
    dimensions : 2 or 3.
    in_channels, classes : sizes of the channel axis of input and output.
    divisor : per spatial axis ([z,] y, x), the input size must be a multiple of it. Moving the
        input by multiples of it moves the output alike, away from the border.
    receptive_field : per spatial axis, a *radius* in voxels: in evaluation mode the output at a
        voxel depends on no input further away along that axis. An upper bound; this is the halo
        that a slab needs.
    classifier : the last 1x1 convolution.
    """

    classifier: nn.Conv2d | nn.Conv3d

    def __init__(
        self,
        in_channels: int,
        classes: int,
        divisor: tuple[int, ...],
        receptive_field: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.dimensions = len(divisor)
        self.in_channels = in_channels
        self.classes = classes
        self.divisor = divisor
        self.receptive_field = receptive_field

    def layers(self) -> dict[str, nn.Module]:
        """The modules whose output feature-based distillation may read, by name.

        Every network has "last", whose output the classifier reads, and "bottleneck", the
        deepest one. "encoder1", "decoder1" and so on are numbered from the full resolution
        down. A forward hook on each sees one tensor ``[n, c, (z,) y, x]``.
        """
        raise NotImplementedError

    def forward_with_deviation(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and what the second head says of an ensemble's deviation, likewise shaped.

        Raises
        ------
        ValueError : the network has no second head.
        """
        raise ValueError(f"{type(self).__name__} has no second head (input {tuple(x.shape)}).")

    def check_input(self, x: torch.Tensor) -> None:
        """Raise ValueError unless ``x`` is ``[n, in_channels, (z,) y, x]`` of a fitting size."""
        # A tracer would turn these tests into constants of the exported graph.
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return
        name, size = type(self).__name__, tuple(x.shape)
        if len(size) != self.dimensions + 2 or size[1] != self.in_channels:
            axes = "z, y, x" if self.dimensions == 3 else "y, x"
            raise ValueError(
                f"{name} takes an input of shape [n, {self.in_channels}, {axes}], not {size}."
            )
        if 0 in size or any(s % d for s, d in zip(size[2:], self.divisor, strict=True)):
            raise ValueError(
                f"{name} takes spatial sizes that are multiples of {self.divisor}, "
                f"not {size[2:]}; pad the input."
            )


def u_shaped(encoder: nn.ModuleList, decoder: nn.ModuleList) -> dict[str, nn.Module]:
    """The layers of a U-Net whose levels are listed from the full resolution down."""
    down = {f"encoder{level}": block for level, block in enumerate(encoder, 1)}
    up = {f"decoder{level}": block for level, block in enumerate(decoder, 1)}
    last = decoder[0] if len(decoder) else encoder[-1]
    return {"last": last, "bottleneck": encoder[-1], **down, **up}


def check_widths(widths: tuple[int, ...]) -> None:
    """Raise ValueError unless at least one level is given."""
    if not widths:
        raise ValueError("widths must name at least one level.")
