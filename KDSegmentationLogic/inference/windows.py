"""Overlapping windows over a volume, their scores blended with Gaussian weights along z.

Finished planes leave as soon as no later window touches them, so memory grows with the
window's depth, not with the volume's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np

Shape = tuple[int, int, int]
Block = tuple[int, np.ndarray]  # first plane, scores [k, planes, y, x]

PLANES_AT_ONCE = 8  # what comes after works on blocks of no more planes, so in little memory


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
    array: np.ndarray,
    tiling: Tiling,
    classes: int,
    predict: Callable[[np.ndarray], np.ndarray],
    stride: Shape = (1, 1, 1),
    ahead: bool = False,
    done: Callable[[], None] = lambda: None,
) -> Iterator[Block]:
    """Blend the scores of all windows; yield finished planes in ascending order.

    Parameters
    ----------
    array : [c, z, y, x].
    tiling : windows over the scores, one voxel of which stands for ``stride`` of ``array``.
    predict : [c, z, y, x] of one window -> scores [classes, z, y, x] of its size over ``stride``.
    ahead : predict the next window in another thread while finished planes are worked on.
    done : called after each window, in the caller's thread.
    """
    x, y, z = tiling.x, tiling.y, tiling.z
    depth, height, width = (len(axis.total) for axis in (z, y, x))
    if tiling.count == 1:
        whole = predict(array)
        done()
        for first in range(0, depth, PLANES_AT_ONCE):
            yield first, whole[:, first : first + PLANES_AT_ONCE]
        return
    parts = (_window(array, start, tiling.size, stride) for start in _starts(tiling))
    results = _in_turn(parts, predict, ahead)
    buffer = np.zeros((classes, z.size, height, width), np.float32)
    for start, following in zip(z.starts, (*z.starts[1:], depth), strict=True):
        share_z = z.share(start)[:, None, None]
        for y0, x0 in product(y.starts, x.starts):
            rows, columns = slice(y0, y0 + y.size), slice(x0, x0 + x.size)
            window = next(results)
            share = share_z * y.share(y0)[:, None] * x.share(x0)
            for k in range(classes):  # a product of all classes would be another window
                buffer[k, :, rows, columns] += window[k] * share
            done()
        ready = following - start
        for first in range(0, ready, PLANES_AT_ONCE):
            last = min(first + PLANES_AT_ONCE, ready)
            yield start + first, buffer[:, first:last].copy()
        buffer[:, : z.size - ready] = buffer[:, ready:]
        buffer[:, z.size - ready :] = 0


def _starts(tiling: Tiling) -> Iterator[tuple[int, ...]]:
    return product(tiling.z.starts, tiling.y.starts, tiling.x.starts)


def _window(array: np.ndarray, start: tuple[int, ...], size: Shape, stride: Shape) -> np.ndarray:
    ranges = zip(start, size, stride, strict=True)
    index = (slice(None), *(slice(a * s, (a + n) * s) for a, n, s in ranges))
    return array[index]


def _in_turn(
    parts: Iterator[np.ndarray], predict: Callable[[np.ndarray], np.ndarray], ahead: bool
) -> Iterator[np.ndarray]:
    """The predictions of all parts; with ``ahead`` the next one is under way meanwhile."""
    if not ahead:
        yield from map(predict, parts)
        return
    waiting: Future[np.ndarray] | None = None
    pool = ThreadPoolExecutor(1, "window")
    try:
        for part in parts:
            following = pool.submit(predict, part)
            if waiting:
                yield waiting.result()
            waiting = following
        if waiting:
            yield waiting.result()
    finally:
        pool.shutdown(cancel_futures=True)


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
