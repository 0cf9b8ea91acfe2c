"""From scores on the network's grid to results on the input's own grid, plane by plane.

Trilinear interpolation of the scores, then the largest class. Interpolation is a convex
combination: where the corners of a cell agree on the winning class, all points inside do. So
only cells at boundaries are interpolated at full resolution (about 1 % of them). That holds for
probabilities and for logits alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.imaging.geometry import back_to_grid
from KDSegmentationLogic.inference.preprocess import Prepared
from KDSegmentationLogic.inference.windows import Shape

_PIXELS_AT_ONCE = 8192  # their scores of twenty classes fit a core's own cache


@dataclass(frozen=True)
class Planes:
    """Finished planes of a prediction's scores, on their ``ScoreGrid``.

    mean, deviation : float32 [k, planes, y, x]; mean probabilities (or a single network's
    logits) and the probabilities' standard deviation over the members (None where not asked
    for, or for a single network).
    """

    start: int
    mean: np.ndarray
    deviation: np.ndarray | None = None


@dataclass(frozen=True)
class ScoreGrid:
    """Where scores lie, and what they are.

    stride : voxels (z, y, x) of the network's grid that one of the scores stands for; voxel j is
        centred on the network's j * stride to (j + 1) * stride - 1.
    temperature : the scores are logits, to be divided by it; None: they are probabilities.
    """

    stride: Shape = (1, 1, 1)
    temperature: float | None = None


@dataclass
class Restored:
    """Arrays in network orientation on the source's voxels: [z, y, x] or [k, z, y, x]."""

    labels: np.ndarray
    probabilities: np.ndarray | None = None
    deviation: np.ndarray | None = None
    entropy: np.ndarray | None = None


@dataclass(frozen=True)
class _AxisMap:
    """Linear interpolation from ``source`` voxels to ``target`` voxels along one axis."""

    low: np.ndarray
    high: np.ndarray
    fraction: np.ndarray  # float32, the share of ``high``
    identity: bool


def _axis_map(
    target: int, target_mm: float, source: int, source_mm: float, stride: int = 1
) -> _AxisMap:
    """The two grids' centres coincide (see ``resample_spacing``); outside, the edge goes on."""
    position = ((np.arange(target) - (target - 1) / 2) * target_mm) / source_mm
    position = np.clip(position + (source - 1) / 2, 0, source - 1)
    count = -(-source // stride)
    position = np.clip((position - (stride - 1) / 2) / stride, 0, count - 1)
    # 1e-6 of a voxel is rounding, not position: without this equal grids would not be identity
    position = np.where(abs(position - position.round()) < 1e-6, position.round(), position)
    low = position.astype(np.intp)
    fraction = (position - low).astype(np.float32)
    identity = np.array_equal(position, np.arange(count))
    return _AxisMap(low, np.minimum(low + 1, count - 1), fraction, identity)


def restore(
    planes: Iterator[Planes],
    prepared: Prepared,
    values: np.ndarray,
    probabilities: bool = False,
    uncertainty: bool = False,
    grid: ScoreGrid | None = None,
    threads: int = 1,
) -> Restored:
    """Collect all planes of a prediction into arrays on the source's voxels.

    Parameters
    ----------
    values : label value of each class, [k], background first.
    probabilities, uncertainty : keep the probabilities; keep entropy (of the mean, in bits
        divided by log2 k, so 0..1) and standard deviation where the planes bring it. Both at
        full resolution: large.
    grid : of the scores; None: probabilities on the network's own grid.
    threads : planes that are worked on at the same time.
    """
    grid = grid or ScoreGrid()
    maps = _maps(prepared, grid.stride)
    result = _allocated(prepared.oriented_shape, values, probabilities, uncertainty)
    before: Planes | None = None
    with ThreadPoolExecutor(threads, "restore") as pool:
        for block in planes:
            if uncertainty and block.deviation is not None and result.deviation is None:
                result.deviation = _per_class(prepared.oriented_shape, len(values))
            last = block.start + block.mean.shape[1] - 1

            def plane(z: int, before: Planes | None = before, block: Planes = block) -> None:
                _restore_plane(result, z, before, block, maps, values, grid.temperature)

            # the pool's own turns cost a click more than they save where there is one thread
            for _ in (map if threads == 1 else pool.map)(plane, _ready(maps[0], block.start, last)):
                pass  # raises what a plane raised
            before = _last_plane(block)
    return result


def to_source_grid(array: np.ndarray, prepared: Prepared, source: sitk.Image) -> sitk.Image:
    """An array of ``Restored`` as an image on exactly the grid of ``source``.

    [z, y, x] gives a scalar image, [k, z, y, x] a vector image of k components.
    """
    vector = array.ndim == 4
    if vector:
        array = np.moveaxis(array, 0, -1)
    if source.GetDimension() == 2:
        array = array[0]
    image = sitk.GetImageFromArray(array, isVector=vector)
    prepared.oriented.give_to(image)
    return back_to_grid(image, source)


def _maps(prepared: Prepared, stride: Shape) -> tuple[_AxisMap, _AxisMap, _AxisMap]:
    target, target_mm = prepared.oriented_shape, prepared.oriented_spacing[::-1]
    source, source_mm = prepared.array.shape[1:], prepared.spacing[::-1]
    z, y, x = (
        _axis_map(*axis) for axis in zip(target, target_mm, source, source_mm, stride, strict=True)
    )
    return z, y, x


def _allocated(
    shape: Shape, values: np.ndarray, probabilities: bool, uncertainty: bool
) -> Restored:
    result = Restored(np.zeros(shape, np.uint8 if values.max() < 256 else np.uint16))
    if probabilities:
        result.probabilities = _per_class(shape, len(values))
    if uncertainty:
        result.entropy = np.zeros(shape, np.float32)
    return result


def _per_class(shape: Shape, classes: int) -> np.ndarray:
    # classes last in memory, as in a vector image: that saves a copy on the way there
    return np.moveaxis(np.zeros((*shape, classes), np.float32), -1, 0)


def _ready(z_map: _AxisMap, first: int, last: int) -> np.ndarray:
    """Output planes whose uppermost source plane lies in ``first``..``last``."""
    needs = np.where(z_map.fraction > 0, z_map.high, z_map.low)
    return np.flatnonzero((needs >= first) & (needs <= last))


def _last_plane(block: Planes) -> Planes:
    """The one that interpolation between this block and the next needs."""
    last = block.mean.shape[1] - 1
    deviation = None if block.deviation is None else block.deviation[:, last:].copy()
    return Planes(block.start + last, block.mean[:, last:].copy(), deviation)


def _restore_plane(
    result: Restored,
    z: int,
    before: Planes | None,
    block: Planes,
    maps: tuple[_AxisMap, _AxisMap, _AxisMap],
    values: np.ndarray,
    temperature: float | None,
) -> None:
    z_map, y_map, x_map = maps
    fraction = z_map.fraction[z]
    low = _plane_of(before, block, z_map.low[z])
    high = _plane_of(before, block, z_map.high[z]) if fraction else low
    mean = _between(low[0], high[0], fraction)
    # "clip": the other modes copy the plane once more, to check it
    small = values.astype(result.labels.dtype)
    small.take(_winners(mean, y_map, x_map), out=result.labels[z], mode="clip")
    if result.probabilities is not None or result.entropy is not None:
        full = np.stack([_in_plane(scores, y_map, x_map) for scores in mean])
        if temperature is not None:
            _softmax(full, temperature)
        if result.probabilities is not None:
            result.probabilities[:, z] = full
        if result.entropy is not None:
            for plane in full:
                safe = np.maximum(plane, 1e-12)
                result.entropy[z] -= plane * np.log(safe) / np.float32(np.log(len(values)))
    if result.deviation is not None and low[1] is not None and high[1] is not None:
        spread = _between(low[1], high[1], fraction)
        for k in range(len(values)):
            result.deviation[k, z] = _in_plane(spread[k], y_map, x_map)


def _plane_of(
    before: Planes | None, block: Planes, index: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean and deviation [k, y, x] of one source plane."""
    planes = block if before is None or index >= block.start else before
    at = index - planes.start
    return planes.mean[:, at], None if planes.deviation is None else planes.deviation[:, at]


def _softmax(logits: np.ndarray, temperature: float) -> None:
    """Over the first axis, in place."""
    logits /= np.float32(temperature)
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)


def _winners(mean: np.ndarray, y_map: _AxisMap, x_map: _AxisMap) -> np.ndarray:
    """The class of the largest score at each output pixel, of two alike the first."""
    corners = _argmax(mean)
    if y_map.identity and x_map.identity:
        return corners
    mixed = np.iinfo(corners.dtype).max  # stands for: the corners of this cell differ
    right = np.minimum(np.arange(corners.shape[1]) + 1, corners.shape[1] - 1)
    below = np.minimum(np.arange(corners.shape[0]) + 1, corners.shape[0] - 1)
    rows = corners == corners[:, right]
    cells = np.where(rows & rows[below] & (corners == corners[below]), corners, mixed)
    winners = cells.take(y_map.low, axis=0).take(x_map.low, axis=1)
    flat = winners.reshape(-1)
    boundary = np.flatnonzero(flat == mixed)
    # with its classes side by side, a pixel's scores are one piece of memory to fetch
    table = np.ascontiguousarray(mean.reshape(len(mean), -1).T)
    for first in range(0, len(boundary), _PIXELS_AT_ONCE):
        at = boundary[first : first + _PIXELS_AT_ONCE]
        y, x = np.divmod(at, winners.shape[1])
        flat[at] = _at(table, corners.shape[1], y_map, x_map, y, x).argmax(axis=1)
    return winners


def _argmax(scores: np.ndarray) -> np.ndarray:
    """Over the first axis; numpy's own is several times slower where that axis is not last."""
    kind = np.uint8 if len(scores) < 255 else np.uint16
    best, winner = scores[0].copy(), np.zeros(scores.shape[1:], kind)
    for k in range(1, len(scores)):
        winner[scores[k] > best] = k
        np.maximum(best, scores[k], out=best)
    return winner


def _between(low: np.ndarray, high: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    return low + (high - low) * fraction if np.any(fraction) else low


def _at(
    table: np.ndarray, width: int, y_map: _AxisMap, x_map: _AxisMap, y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """[n, k] at the output pixels (y, x), by the same steps as ``_in_plane``.

    ``table`` : [source pixels, k], rows of ``width`` pixels.
    """
    above, below = y_map.low[y] * width, y_map.high[y] * width
    y_fraction, x_fraction = y_map.fraction[y][:, None], x_map.fraction[x][:, None]
    left, right = (
        _into_low(table.take(above + side, axis=0), table.take(below + side, axis=0), y_fraction)
        for side in (x_map.low[x], x_map.high[x])
    )
    return _into_low(left, right, x_fraction)


def _into_low(low: np.ndarray, high: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """``_between``, which overwrites both."""
    high -= low
    high *= fraction
    low += high
    return low


def _in_plane(plane: np.ndarray, y_map: _AxisMap, x_map: _AxisMap) -> np.ndarray:
    """[y, x] of one class at full resolution."""
    if not y_map.identity:
        plane = _between(plane[y_map.low], plane[y_map.high], y_map.fraction[:, None])
    if not x_map.identity:
        plane = _between(plane[:, x_map.low], plane[:, x_map.high], x_map.fraction)
    return plane
