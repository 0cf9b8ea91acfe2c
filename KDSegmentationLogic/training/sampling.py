"""Batches of patches: 3-D blocks, or slices for a 2-D network.

Every batch is drawn from a generator seeded by (seed, step), so a training that continues
after a kill draws what it would have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from KDSegmentationLogic.inference.predict import SLICE_AXIS
from KDSegmentationLogic.training.cases import TrainingCase


@dataclass
class Batch:
    """image float32 [n, c, ...], labels int64 [n, ...], soft float32 [n, k, ...] or None."""

    image: torch.Tensor
    labels: torch.Tensor
    soft: torch.Tensor | None

    def to(self, device: str) -> Batch:
        soft = None if self.soft is None else self.soft.to(device)
        return Batch(self.image.to(device), self.labels.to(device), soft)


class PatchSampler:
    """Draws patches; ``foreground`` of them hold a voxel of a class drawn evenly.

    Parameters
    ----------
    patch : (z, y, x), or (y, x) for slices along the ``views``.
    mirror : axes of the volume (0 z, 1 y, 2 x) flipped with probability 1/2. Of the volume,
        not of the patch: a sagittal slice must not be flipped front to back because the
        body is the same left and right.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        patch: Sequence[int],
        views: Sequence[str],
        foreground: float,
        mirror: Sequence[int],
        seed: int,
    ) -> None:
        self._cases = cases
        self._patch = tuple(patch)
        self._axes = [SLICE_AXIS[view] for view in views]  # type: ignore[index]
        self._foreground = foreground
        self._mirror = tuple(mirror)
        self._seed = seed
        self._positions = [_class_positions(case.labels) for case in cases]

    def batch(self, step: int, size: int) -> Batch:
        """The batch of this step."""
        random = np.random.default_rng((self._seed, step))
        patches = [self._draw(random) for _ in range(size)]
        soft = None
        if patches[0][2] is not None:
            soft = torch.from_numpy(np.stack([p[2] for p in patches if p[2] is not None]))
            soft = soft.float() / 255
        return Batch(
            torch.from_numpy(np.stack([p[0] for p in patches])),
            torch.from_numpy(np.stack([p[1] for p in patches])).long(),
            soft,
        )

    def _draw(
        self, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        number = int(random.integers(len(self._cases)))
        case, positions = self._cases[number], self._positions[number]
        centre: np.ndarray | None = None
        if positions and random.random() < self._foreground:
            of_class = positions[int(random.integers(len(positions)))]
            centre = of_class[int(random.integers(len(of_class)))]
        size = list(self._patch)
        slice_axis = None
        if self._axes:
            slice_axis = self._axes[int(random.integers(len(self._axes)))]
            size.insert(slice_axis, 1)
        start = [
            _start(length, extent, None if centre is None else int(centre[axis]), random)
            for axis, (length, extent) in enumerate(zip(case.labels.shape, size, strict=True))
        ]
        arrays = [
            _cut(array, start, size)
            for array in (case.image, case.labels[np.newaxis], case.soft)
            if array is not None
        ]
        for axis in self._mirror:
            if random.random() < 0.5:
                arrays = [np.flip(array, axis + 1) for array in arrays]
        if slice_axis is not None:
            arrays = [array.take(0, axis=slice_axis + 1) for array in arrays]
        return arrays[0], arrays[1][0], arrays[2] if len(arrays) > 2 else None


def _class_positions(labels: np.ndarray) -> list[np.ndarray]:
    return [np.argwhere(labels == k) for k in np.unique(labels) if k != 0]


def _start(length: int, extent: int, centre: int | None, random: np.random.Generator) -> int:
    """Where the patch starts: anywhere inside, or so that it holds ``centre``.

    A patch larger than the image starts at or before 0 so that it holds the whole image.
    """
    low, high = min(0, length - extent), max(0, length - extent)
    if centre is not None and extent < length:
        low, high = max(low, centre - extent + 1), min(high, centre)
    return int(random.integers(low, high + 1))


def _cut(array: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """[c, z, y, x] cut to ``size`` from ``start``; beyond the image its edge goes on."""
    for axis, (first, extent) in enumerate(zip(start, size, strict=True), 1):
        index = np.clip(np.arange(first, first + extent), 0, array.shape[axis] - 1)
        array = array.take(index, axis=axis)
    return array
