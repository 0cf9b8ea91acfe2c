"""From scores on the network's grid to results on the input's own grid, plane by plane.

Trilinear interpolation of the scores, then the largest class. Interpolation is a convex
combination: where the scores round a point agree on the winning class, the point has it. So
only points at boundaries are interpolated at full resolution (about 1 % of them). That holds for
probabilities and for logits alike.

Scores of a lower resolution than the network's grid are interpolated twice, as the network itself
would before they are taken off its grid: along each axis both steps are one sum of three at most.
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
_PIXELS_WORTH_A_TURN = 1 << 15  # of a plane; on two cores the pool gains from 192 x 192 on


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
    """Along one axis, how each target voxel is a convex sum of source voxels: its taps.

    index, weight : [taps, targets]; taps of no weight repeat the index of the first.
    """

    index: np.ndarray
    weight: np.ndarray  # float32
    identity: bool


def _axis_map(
    target: int, target_mm: float, source: int, source_mm: float, stride: int, shift: float
) -> _AxisMap:
    """``shift`` : of ``Prepared``. Outside, the edge goes on."""
    position = ((np.arange(target) - (target - 1) / 2) * target_mm) / source_mm
    shares = _linear(position + (source - 1) / 2 - shift, source)
    if stride != 1:
        count = -(-source // stride)
        shares = shares @ _linear((np.arange(source) - (stride - 1) / 2) / stride, count)
    found = shares > 0
    first = found.argmax(axis=1)
    tap = np.arange(found.sum(axis=1).max())[:, None]
    used = tap < found.sum(axis=1)
    index = np.where(used, first + tap, first)
    weight = np.where(used, np.take_along_axis(shares.T, index, axis=0), 0)
    identity = len(tap) == 1 and np.array_equal(first, np.arange(shares.shape[1]))
    return _AxisMap(index, weight.astype(np.float32), identity)


def _linear(position: np.ndarray, count: int) -> np.ndarray:
    """[positions, count]: the share of each of ``count`` voxels in linear interpolation."""
    position = np.clip(position, 0, count - 1)
    # 1e-6 of a voxel is rounding, not position: without this equal grids would not be identity
    position = np.where(abs(position - position.round()) < 1e-6, position.round(), position)
    low = position.astype(np.intp)
    rows, shares = np.arange(len(position)), np.zeros((len(position), count))
    shares[rows, np.minimum(low + 1, count - 1)] = position - low
    shares[rows, low] += 1 - (position - low)
    return shares


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
    pixels = prepared.oriented_shape[1] * prepared.oriented_shape[2]
    with ThreadPoolExecutor(threads, "restore") as pool:
        # the pool's own turns cost more than they save with one thread, or with small planes
        each = map if threads == 1 or pixels < _PIXELS_WORTH_A_TURN else pool.map
        for block in planes:
            if uncertainty and block.deviation is not None and result.deviation is None:
                result.deviation = _per_class(prepared.oriented_shape, len(values))
            last = block.start + block.mean.shape[1] - 1

            def plane(z: int, before: Planes | None = before, block: Planes = block) -> None:
                _restore_plane(result, z, before, block, maps, values, grid.temperature)

            for _ in each(plane, _ready(maps[0], block.start, last)):
                pass  # raises what a plane raised
            before = _tail(before, block, len(maps[0].index) - 1)
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
        _axis_map(*axis)
        for axis in zip(target, target_mm, source, source_mm, stride, prepared.shift, strict=True)
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
    needs = z_map.index.max(axis=0)
    return np.flatnonzero((needs >= first) & (needs <= last))


def _tail(before: Planes | None, block: Planes, count: int) -> Planes:
    """The last ``count`` planes so far (at least one): the next block's output needs them."""
    count = max(1, count)
    lacking = count - block.mean.shape[1]

    def tail(earlier: np.ndarray | None, array: np.ndarray) -> np.ndarray:
        if earlier is None or lacking <= 0:
            return array[:, -count:].copy()
        return np.concatenate([earlier[:, -lacking:], array], axis=1)

    mean = tail(before.mean if before else None, block.mean)
    deviation = None
    if block.deviation is not None:
        deviation = tail(before.deviation if before else None, block.deviation)
    return Planes(block.start + block.mean.shape[1] - mean.shape[1], mean, deviation)


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
    used = z_map.weight[:, z] > 0
    planes = [_plane_of(before, block, index) for index in z_map.index[used, z]]
    weights = z_map.weight[used, z]
    mean = _sum([plane[0] for plane in planes], weights)
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
    if result.deviation is not None:
        spread = _sum([plane[1] for plane in planes if plane[1] is not None], weights)
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
    mixed = np.iinfo(corners.dtype).max  # stands for: the winners round this pixel differ
    winners = _agreed(_agreed(corners, x_map, 1, mixed), y_map, 0, mixed)
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


def _agreed(winners: np.ndarray, axis_map: _AxisMap, axis: int, mixed: int) -> np.ndarray:
    """At the target's positions along ``axis``: the class that all taps have, or ``mixed``."""
    first, *others = (winners.take(index, axis) for index in axis_map.index)
    for other in others:
        first[first != other] = mixed
    return first


def _sum(parts: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Weighted; a single part is given back as it is."""
    if len(parts) == 1:
        return parts[0]
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total += part * weight
    return total


def _at(
    table: np.ndarray, width: int, y_map: _AxisMap, x_map: _AxisMap, y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """[n, k] at the output pixels (y, x), by the same steps as ``_in_plane``.

    ``table`` : [source pixels, k], rows of ``width`` pixels.
    """
    rows, columns = y_map.index[:, y] * width, x_map.index[:, x]
    y_weights, x_weights = y_map.weight[:, y, None], x_map.weight[:, x, None]
    return _sum(
        [_sum([table.take(row + column, axis=0) for row in rows], y_weights) for column in columns],
        x_weights,
    )


def _in_plane(plane: np.ndarray, y_map: _AxisMap, x_map: _AxisMap) -> np.ndarray:
    """[y, x] of one class at full resolution."""
    plane = _sum([plane[index] for index in y_map.index], y_map.weight[..., None])
    return _sum([plane[:, index] for index in x_map.index], x_map.weight)
