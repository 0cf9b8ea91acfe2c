"""From probabilities on the network's grid to results on the input's own grid, plane by plane.

Trilinear interpolation of the probabilities, then the largest class; only one plane of one
class is ever held at full resolution, so memory does not grow with classes times voxels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

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


@dataclass
class _AxisMap:
    """Linear interpolation from ``source`` voxels to ``target`` voxels along one axis."""

    low: np.ndarray
    high: np.ndarray
    fraction: np.ndarray  # float32, the share of ``high``
    identity: bool = field(init=False)

    def __post_init__(self) -> None:
        self.identity = bool(not self.fraction.any() and (np.diff(self.low) == 1).all())


def _axis_map(target: int, target_mm: float, source: int, source_mm: float) -> _AxisMap:
    """The two grids' centres coincide (see ``resample_spacing``); outside, the edge goes on."""
    position = ((np.arange(target) - (target - 1) / 2) * target_mm) / source_mm
    position = np.clip(position + (source - 1) / 2, 0, source - 1)
    # 1e-6 of a voxel is rounding, not position: without this equal grids would not be identity
    position = np.where(abs(position - position.round()) < 1e-6, position.round(), position)
    low = np.minimum(position.astype(np.intp), max(source - 2, 0))
    return _AxisMap(low, np.minimum(low + 1, source - 1), (position - low).astype(np.float32))


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
        divided by log2 k, so 0..1) and standard deviation. Both at full resolution: large.
    """
    maps = _maps(prepared)
    shape = prepared.oriented_shape
    result = Restored(np.zeros(shape, np.uint8 if values.max() < 256 else np.uint16))
    _allocate(result, len(values), shape, probabilities, uncertainty)
    carried: Planes | None = None
    for block in planes:
        available = _joined(carried, block)
        first, last = available.start, available.start + available.mean.shape[1] - 1
        final = last == prepared.array.shape[1] - 1
        for z in _ready(maps[0], first if carried is None else first + 1, last, final):
            _restore_plane(result, z, available, maps, values)
        carried = Planes(
            last,
            available.mean[:, -1:],
            None if available.deviation is None else available.deviation[:, -1:],
        )
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


def _allocate(
    result: Restored, classes: int, shape: Shape, probabilities: bool, uncertainty: bool
) -> None:
    if probabilities:
        result.probabilities = np.zeros((classes, *shape), np.float32)
    if uncertainty:
        result.deviation = np.zeros((classes, *shape), np.float32)
        result.entropy = np.zeros(shape, np.float32)


def _joined(carried: Planes | None, block: Planes) -> Planes:
    """The last plane of the block before belongs to the interpolation between the two."""
    if carried is None:
        return block
    deviation = None
    if block.deviation is not None and carried.deviation is not None:
        deviation = np.concatenate([carried.deviation, block.deviation], axis=1)
    return Planes(carried.start, np.concatenate([carried.mean, block.mean], axis=1), deviation)


def _ready(z_map: _AxisMap, first: int, last: int, final: bool) -> np.ndarray:
    """Output planes whose upper source plane lies in first..last (all the rest at the end)."""
    needs = np.where(z_map.fraction > 0, z_map.high, z_map.low)
    return np.flatnonzero((needs >= first) & ((needs <= last) | final))


def _restore_plane(
    result: Restored,
    z: int,
    block: Planes,
    maps: tuple[_AxisMap, _AxisMap, _AxisMap],
    values: np.ndarray,
) -> None:
    mean = _between(block.mean, block.start, maps[0], z)
    best: np.ndarray | None = None
    winner = np.zeros(result.labels.shape[1:], result.labels.dtype)
    for k, value in enumerate(values):
        plane = _in_plane(mean[k], maps[1], maps[2])
        if result.probabilities is not None:
            result.probabilities[k, z] = plane
        if result.entropy is not None:
            safe = np.maximum(plane, 1e-12)
            result.entropy[z] -= plane * np.log(safe) / np.float32(np.log(len(values)))
        if best is None:
            best, winner[:] = plane.copy(), value
        else:
            better = plane > best
            winner[better] = value
            np.maximum(best, plane, out=best)
    result.labels[z] = winner
    if result.deviation is not None and block.deviation is not None:
        spread = _between(block.deviation, block.start, maps[0], z)
        for k in range(len(values)):
            result.deviation[k, z] = _in_plane(spread[k], maps[1], maps[2])


def _between(array: np.ndarray, start: int, z_map: _AxisMap, z: int) -> np.ndarray:
    """[k, y, x] at output plane z, from [k, planes, y, x] beginning at plane ``start``."""
    low, fraction = array[:, z_map.low[z] - start], z_map.fraction[z]
    if fraction == 0:
        return low
    return low + (array[:, z_map.high[z] - start] - low) * fraction


def _in_plane(plane: np.ndarray, y_map: _AxisMap, x_map: _AxisMap) -> np.ndarray:
    if not y_map.identity:
        low = plane[y_map.low]
        plane = low + (plane[y_map.high] - low) * y_map.fraction[:, None]
    if not x_map.identity:
        low = plane[:, x_map.low]
        plane = low + (plane[:, x_map.high] - low) * x_map.fraction
    return plane
