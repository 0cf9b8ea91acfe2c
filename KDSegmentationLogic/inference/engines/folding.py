"""Batch normalisation folded into the convolutions before it: the same function, fewer layers."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def fold(network: Network) -> Network:
    """Fold each norm that follows a convolution in an ``nn.Sequential``; changes ``network``.

    In evaluation mode a norm is a factor and a summand a channel. A norm that stands before a
    convolution, with an activation between them, stays.
    """
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for (name, layer), (following, norm) in pairwise(list(module.named_children())):
                if isinstance(norm, _NORMS) and isinstance(layer, _CONVOLUTIONS):
                    setattr(module, name, fuse_conv_bn_eval(layer, norm))
                elif isinstance(norm, _NORMS) and isinstance(layer, _TRANSPOSED):
                    setattr(module, name, fuse_conv_bn_eval(layer, norm, transpose=True))
                else:
                    continue
                setattr(module, following, nn.Identity())
    return network
