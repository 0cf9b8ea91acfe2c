"""Overlapping windows over a volume, blended with Gaussian weights, streamed along z.

Finished planes leave as soon as no later window touches them, so memory grows with the
window's depth, not with the volume's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

Shape = tuple[int, int, int]
Block = tuple[int, np.ndarray]  # first plane, probabilities [k, planes, y, x]

_PLANES_AT_ONCE = 8  # what comes after works on blocks of no more planes, so in little memory


@dataclass(frozen=True)
class Axis:
    """The windows along one axis: where they start, their size, their weights."""

    starts: tuple[int, ...]
    size: int
    weights: np.ndarray  # float32 [size]
    total: np.ndarray  # float32 [length]: the sum of the weights of all windows at a voxel

    def share(self, start: int) -> np.ndarray:
        """Each voxel's share of this window in the blend; shares at a voxel sum to 1."""
        return self.weights / self.total[start : start + self.size]


def axis_windows(length: int, size: int, overlap: float, blend: bool = True) -> Axis:
    """Evenly spread windows of ``size`` that cover ``length``, overlapping by at least ``overlap``.

    ``blend=False``: windows side by side (the axis along which a 2-D network goes slice by
    slice), the last one shifted back so that all have one size.
    """
    size = min(size, length)
    if size == length:
        ones = np.ones(length, np.float32)
        return Axis((0,), size, ones, ones)
    step = max(1, int(size * (1 - overlap))) if blend else size
    count = -(-(length - size) // step) + 1
    starts = tuple(round(s) for s in np.linspace(0, length - size, count))
    weights = _gaussian(size) if blend else np.ones(size, np.float32)
    total = np.zeros(length, np.float32)
    for start in starts:
        total[start : start + size] += weights
    return Axis(starts, size, weights, total)


def _gaussian(size: int) -> np.ndarray:
    """A Gaussian with sigma = size / 8, as is usual (MONAI, nnU-Net), never quite zero."""
    offset = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (offset / (size / 8)) ** 2)
    return np.maximum(weights, 1e-3).astype(np.float32)


@dataclass(frozen=True)
class Tiling:
    """Windows over a volume [z, y, x]."""

    z: Axis
    y: Axis
    x: Axis

    @property
    def count(self) -> int:
        return len(self.z.starts) * len(self.y.starts) * len(self.x.starts)

    @property
    def size(self) -> Shape:
        return (self.z.size, self.y.size, self.x.size)


def stream(
    array: np.ndarray, tiling: Tiling, classes: int, predict: Callable[[np.ndarray], np.ndarray]
) -> Iterator[Block]:
    """Blend the predictions of all windows; yield finished planes in ascending order.

    Parameters
    ----------
    array : [c, z, y, x].
    predict : [c, z, y, x] of one window's size -> probabilities [classes, z, y, x].
    """
    _, depth, height, width = array.shape
    z, y, x = tiling.z, tiling.y, tiling.x
    if tiling.count == 1:
        whole = predict(array)
        for first in range(0, depth, _PLANES_AT_ONCE):
            yield first, whole[:, first : first + _PLANES_AT_ONCE]
        return
    buffer = np.zeros((classes, z.size, height, width), np.float32)
    for start, following in zip(z.starts, (*z.starts[1:], depth), strict=True):
        share_z = z.share(start)[:, None, None]
        for y0, x0 in product(y.starts, x.starts):
            rows, columns = slice(y0, y0 + y.size), slice(x0, x0 + x.size)
            window = predict(array[:, start : start + z.size, rows, columns])
            share = share_z * y.share(y0)[:, None] * x.share(x0)
            for k in range(classes):  # a product of all classes would be another window
                buffer[k, :, rows, columns] += window[k] * share
        done = following - start
        for first in range(0, done, _PLANES_AT_ONCE):
            last = min(first + _PLANES_AT_ONCE, done)
            yield start + first, buffer[:, first:last].copy()
        buffer[:, : z.size - done] = buffer[:, done:]
        buffer[:, z.size - done :] = 0


def lockstep(streams: list[Iterator[Block]]) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Bring several streams over one volume to common blocks of planes.

    Yields (first plane, one array [k, planes, y, x] a stream).
    """
    pending: list[np.ndarray | None] = [None] * len(streams)
    start = 0
    while True:
        for i, source in enumerate(streams):
            if pending[i] is None:
                block = next(source, None)
                if block is None:
                    return
                pending[i] = block[1]
        blocks = [block for block in pending if block is not None]
        planes = min(block.shape[1] for block in blocks)
        yield start, [block[:, :planes] for block in blocks]
        pending = [b[:, planes:] if b.shape[1] > planes else None for b in blocks]
        start += planes
