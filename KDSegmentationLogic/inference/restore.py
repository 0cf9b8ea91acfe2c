"""From probabilities on the network's grid to results on the input's own grid, plane by plane.

Trilinear interpolation of the probabilities, then the largest class. Interpolation is a convex
combination: where the corners of a cell agree on the winning class, all points inside do. So
only cells at boundaries are interpolated at full resolution (about 1 % of them).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.imaging.geometry import back_to_grid
from KDSegmentationLogic.inference.preprocess import Prepared
from KDSegmentationLogic.inference.windows import Shape


@dataclass(frozen=True)
class Planes:
    """Finished planes of a prediction on the network's grid.

    mean, deviation : float32 [k, planes, y, x]; probabilities and their standard deviation
    over the members (None where not asked for, or for a single network).
    """

    start: int
    mean: np.ndarray
    deviation: np.ndarray | None = None


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


def _axis_map(target: int, target_mm: float, source: int, source_mm: float) -> _AxisMap:
    """The two grids' centres coincide (see ``resample_spacing``); outside, the edge goes on."""
    position = ((np.arange(target) - (target - 1) / 2) * target_mm) / source_mm
    position = np.clip(position + (source - 1) / 2, 0, source - 1)
    # 1e-6 of a voxel is rounding, not position: without this equal grids would not be identity
    position = np.where(abs(position - position.round()) < 1e-6, position.round(), position)
    low = position.astype(np.intp)
    fraction = (position - low).astype(np.float32)
    identity = np.array_equal(position, np.arange(source))
    return _AxisMap(low, np.minimum(low + 1, source - 1), fraction, identity)


def restore(
    planes: Iterator[Planes],
    prepared: Prepared,
    values: np.ndarray,
    probabilities: bool = False,
    uncertainty: bool = False,
) -> Restored:
    """Collect all planes of a prediction into arrays on the source's voxels.

    Parameters
    ----------
    values : label value of each class, [k], background first.
    probabilities, uncertainty : keep the probabilities; keep entropy (of the mean, in bits
        divided by log2 k, so 0..1) and standard deviation where the planes bring it. Both at
        full resolution: large.
    """
    maps = _maps(prepared)
    result = _allocated(prepared.oriented_shape, values, probabilities, uncertainty)
    before: Planes | None = None
    for block in planes:
        if uncertainty and block.deviation is not None and result.deviation is None:
            result.deviation = _per_class(prepared.oriented_shape, len(values))
        last = block.start + block.mean.shape[1] - 1
        for z in _ready(maps[0], block.start, last):
            _restore_plane(result, z, before, block, maps, values)
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


def _maps(prepared: Prepared) -> tuple[_AxisMap, _AxisMap, _AxisMap]:
    target, target_mm = prepared.oriented_shape, prepared.oriented_spacing[::-1]
    source, source_mm = prepared.array.shape[1:], prepared.spacing[::-1]
    z, y, x = (
        _axis_map(t, t_mm, s, s_mm)
        for t, t_mm, s, s_mm in zip(target, target_mm, source, source_mm, strict=True)
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
) -> None:
    z_map, y_map, x_map = maps
    fraction = z_map.fraction[z]
    low = _plane_of(before, block, z_map.low[z])
    high = _plane_of(before, block, z_map.high[z]) if fraction else low
    mean = _between(low[0], high[0], fraction)
    result.labels[z] = values[_winners(mean, y_map, x_map)]
    if result.probabilities is not None or result.entropy is not None:
        for k in range(len(values)):
            plane = _in_plane(mean[k], y_map, x_map)
            if result.probabilities is not None:
                result.probabilities[k, z] = plane
            if result.entropy is not None:
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


def _winners(mean: np.ndarray, y_map: _AxisMap, x_map: _AxisMap) -> np.ndarray:
    """The class of the largest probability at each output pixel, of two alike the first."""
    corners = _argmax(mean)
    if y_map.identity and x_map.identity:
        return corners
    right = np.minimum(np.arange(corners.shape[1]) + 1, corners.shape[1] - 1)
    below = np.minimum(np.arange(corners.shape[0]) + 1, corners.shape[0] - 1)
    rows = corners == corners[:, right]
    mixed = ~(rows & rows[below] & (corners == corners[below]))
    winners = corners[y_map.low][:, x_map.low]
    y, x = np.nonzero(mixed[y_map.low][:, x_map.low])
    winners[y, x] = _argmax(_at(mean, y_map, x_map, y, x))
    return winners


def _argmax(scores: np.ndarray) -> np.ndarray:
    """Over the first axis; numpy's own is several times slower where that axis is not last."""
    best, winner = scores[0].copy(), np.zeros(scores.shape[1:], np.intp)
    for k in range(1, len(scores)):
        winner[scores[k] > best] = k
        np.maximum(best, scores[k], out=best)
    return winner


def _between(low: np.ndarray, high: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    return low + (high - low) * fraction if np.any(fraction) else low


def _at(
    mean: np.ndarray, y_map: _AxisMap, x_map: _AxisMap, y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """[k, n] at the output pixels (y, x), by the same steps as ``_in_plane``."""
    y_low, y_high, y_fraction = y_map.low[y], y_map.high[y], y_map.fraction[y]
    x_low, x_high, x_fraction = x_map.low[x], x_map.high[x], x_map.fraction[x]
    left = _between(mean[:, y_low, x_low], mean[:, y_high, x_low], y_fraction)
    right = _between(mean[:, y_low, x_high], mean[:, y_high, x_high], y_fraction)
    return _between(left, right, x_fraction)


def _in_plane(plane: np.ndarray, y_map: _AxisMap, x_map: _AxisMap) -> np.ndarray:
    """[y, x] of one class at full resolution."""
    if not y_map.identity:
        plane = _between(plane[y_map.low], plane[y_map.high], y_map.fraction[:, None])
    if not x_map.identity:
        plane = _between(plane[:, x_map.low], plane[:, x_map.high], x_map.fraction)
    return plane
