"""What a network is like before it is trained: its sizes and the names of its layers."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

import torch

from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.networks.registry import build_network


@dataclass(frozen=True)
class Shape:
    """Of a network: 2 or 3 dimensions, what a patch is a multiple of, and its layers' names."""

    dimensions: int
    divisor: tuple[int, ...]
    layers: tuple[str, ...]


@functools.cache
def shape_of(architecture: str, arguments: str) -> Shape:
    """Built without memory for its weights, and once for all runs of an arm.

    arguments : as JSON.

    Raises
    ------
    ValueError : it cannot be built.
    """
    try:
        with torch.device("meta"):
            network = build_network(architecture, json.loads(arguments))
    except BundleError as error:
        raise ValueError(str(error).rstrip(".")) from None
    return Shape(network.dimensions, network.divisor, tuple(network.layers()))
