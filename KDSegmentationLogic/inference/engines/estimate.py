"""What is known of a network without running it: its facts, and the memory of its layers."""

from __future__ import annotations

import contextlib
import copy
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.inference.engines.facts import Facts
from KDSegmentationLogic.networks.registry import build_network


class Logits(nn.Module):
    """A network that ends at the resolution at which it computes its logits.

    features : end at what its classifier reads; see ``Facts.features``.
    """

    def __init__(self, network: nn.Module, features: bool = False) -> None:
        super().__init__()
        self.network = network
        self._features = features
        self.dimensions = int(network.dimensions)  # type: ignore[arg-type]
        low = hasattr(network, "forward_low")
        self.stride: tuple[int, ...] = (
            tuple(network.stem_stride) if low else (1,) * self.dimensions  # type: ignore[arg-type]
        )
        self._low = low

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[n, in_channels, (z,) y, x]`` to ``[n, classes, ...]`` of that size over ``stride``."""
        if self._features:
            return self.network.features(x)  # type: ignore[operator]
        return self.network.forward_low(x) if self._low else self.network(x)  # type: ignore[operator]


def facts_of_description(member: Member) -> Facts:
    """``facts_of_member``, computed."""
    with torch.device("meta"):
        return facts_of(build_network(member.architecture, member.arguments))


def facts_of(network: nn.Module) -> Facts:
    """Of a network, from a forward in which shapes are computed and nothing else."""
    skeleton = Logits(copy.deepcopy(network).to("meta").eval())
    divisor = tuple(network.divisor)  # type: ignore[arg-type]
    # a 2-D network may pad by its receptive field, which in a small image weighs too much
    least = 32 if len(divisor) == 3 else 128
    size = [-(-least // d) * d for d in divisor]
    live = _LiveTensors()
    with torch.inference_mode(), live.of_layers(skeleton):
        image = torch.empty(1, int(network.in_channels), *size, device="meta")  # type: ignore[arg-type]
        logits = skeleton(image)
    voxels = float(np.prod(size))
    return Facts(
        dimensions=len(divisor),
        in_channels=int(network.in_channels),  # type: ignore[arg-type]
        classes=int(network.classes),  # type: ignore[arg-type]
        divisor=divisor,
        stride=skeleton.stride,
        layer_bytes=live.peak / voxels,
        logit_bytes=logits.nbytes / voxels,
        features=_features_of(network),
    )


def _features_of(network: nn.Module) -> int | None:
    """See ``Facts.features``."""
    if not hasattr(network, "features"):
        return None
    channels = int(network.classifier.in_channels)  # type: ignore[union-attr, arg-type]
    two = getattr(network, "deviation", None) is not None
    return channels if two or channels < int(network.classes) else None  # type: ignore[arg-type]


def leaves(network: nn.Module) -> list[nn.Module]:
    """The layers that compute."""
    return [module for module in network.modules() if not list(module.children())]


class _LiveTensors:
    """Bytes of the tensors that went into or came out of a network's layers and are not freed."""

    def __init__(self) -> None:
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    @contextlib.contextmanager
    def of_layers(self, network: nn.Module) -> Iterator[None]:
        def look(_: nn.Module, inputs: Any, output: Any) -> None:
            for tensor in (*inputs, output):
                self._count(tensor)
            self.peak = max(self.peak, self.now)

        hooks = [leaf.register_forward_hook(look) for leaf in leaves(network)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _count(self, tensor: Any) -> None:
        if not isinstance(tensor, torch.Tensor):
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
