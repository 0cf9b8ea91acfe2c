"""How large a patch and a batch a network can be trained on, by what it keeps in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from KDSegmentationLogic.bundles.description import View
from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.networks.registry import build_network, parameter_count

_WIDTHS = ((8.0, 32), (3.0, 16), (0.0, 8))
"""From this memory on (GiB), channels at full resolution; 32 are those of Noothout et al."""

STEP_VOXELS = 2**19
"""Voxels of a batch beyond which it does not grow: a step then takes seconds on a CPU core."""


@dataclass(frozen=True)
class PlannedNetwork:
    """A network and how it is fed. ``memory_gib``: of a training step, as ``training_bytes``."""

    name: str
    architecture: str
    arguments: dict[str, Any]
    patch: tuple[int, ...]
    views: tuple[View, ...]
    batch: int
    parameters: int
    memory_gib: float


def training_bytes(
    architecture: str, arguments: dict[str, Any], patch: tuple[int, ...]
) -> tuple[int, int]:
    """What a training step keeps: bytes a patch of the batch, and bytes of the network itself.

    A patch: every tensor that the way back needs, counted on tensors without memory. The network:
    weights, their gradients and the optimiser's two moments. Beside these come the libraries' own
    buffers, a few hundred MiB.
    """
    kept: dict[int, int] = {}
    alive = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        alive.append(storage)  # or its number would be given to another
        return tensor

    with torch.device("meta"):
        network = build_network(architecture, arguments).train()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            torch.softmax(network(torch.empty((2, network.in_channels, *patch))), 1)
    weights = 4 * parameter_count(network)
    return max(0, sum(kept.values()) - weights) // 2, 4 * weights


@dataclass(frozen=True)
class Sizes:
    """Channels and classes of a study's networks, and the memory that a training may take."""

    channels: int
    classes: int
    memory_gib: float

    @property
    def width(self) -> int:
        return next(width for least, width in _WIDTHS if self.memory_gib >= least)

    def network(
        self,
        name: str,
        architecture: str,
        patch: tuple[int, ...],
        views: tuple[View, ...] = (),
        largest_batch: int = 8,
        **arguments: Any,
    ) -> PlannedNetwork:
        """The network with the largest batch that the memory and a step's time allow."""
        arguments = self._complete(arguments)
        a_patch, fixed = training_bytes(architecture, arguments, patch)

        def needed(batch: int) -> float:
            return (batch * a_patch + fixed) / 2**30

        batch = largest_batch
        while batch > 2 and (
            batch * math.prod(patch) > STEP_VOXELS or needed(batch) > self.memory_gib
        ):
            batch //= 2
        if needed(batch) > self.memory_gib:
            raise UsageError(
                f"The network {name} needs {needed(batch):.2g} GiB for the smallest patch.",
                "Allow a training more memory.",
            )
        memory = round(needed(batch), 2)
        return PlannedNetwork(
            name, architecture, arguments, patch, views, batch, fixed // 16, memory
        )

    def fitted(
        self,
        architecture: str,
        patch: tuple[int, ...],
        spacing: tuple[float, ...],
        step: int,
        **arguments: Any,
    ) -> tuple[int, ...]:
        """The patch, cut by ``step`` along its longest side (mm) until two fit the memory."""
        for _ in range(4):  # padding makes a small patch dearer a voxel than a large one
            a_patch, fixed = training_bytes(architecture, self._complete(arguments), patch)
            room = max(0.0, self.memory_gib * 2**30 - fixed) / (2 * a_patch)
            if room >= 1:
                break
            patch = cut(patch, spacing, step, room * math.prod(patch))
        return patch

    def _complete(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"in_channels": self.channels, "classes": self.classes, **arguments}


def cut(
    patch: tuple[int, ...], spacing: tuple[float, ...], step: int, most: float
) -> tuple[int, ...]:
    """The patch, cut by ``step`` along its longest side (mm) until it has ``most`` voxels."""
    while math.prod(patch) > most and max(patch) > step:
        lengths = [n * s if n > step else 0.0 for n, s in zip(patch, spacing, strict=True)]
        longest = lengths.index(max(lengths))
        patch = tuple(n - step if axis == longest else n for axis, n in enumerate(patch))
    return patch


def up(length: float, step: int) -> int:
    """The multiple of ``step`` that holds ``length``."""
    return max(1, math.ceil(length / step - 1e-6)) * step
