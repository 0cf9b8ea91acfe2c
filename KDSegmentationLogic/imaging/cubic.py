"""Cubic B-spline interpolation as one matrix product an axis, prefilter included.

A cubic B-spline is separable and linear in the image: along an axis of n voxels the values at m
positions are W f, where W = B A^-1. A [n, n] samples the basis at the voxels (1/6, 4/6, 1/6; its
inverse is the prefilter), B [m, n] at the positions. Both take the image as mirrored at its
outermost voxel centres, as ITK and scipy's ``mirror`` do. Unser 1999, Splines: a perfect fit for
signal and image processing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_PLANES_AT_ONCE = 16


def cubic_matrix(positions: np.ndarray, count: int) -> np.ndarray:
    """W, float64 [len(positions), count].

    Parameters
    ----------
    positions : in voxels, 0 to ``count`` - 1; outside of it the outermost voxel's value goes on.
    """
    if count == 1:
        return np.ones((len(positions), 1))
    at_voxels = _basis(np.arange(count, dtype=float), count)
    at_positions = _basis(np.clip(positions, 0, count - 1), count)
    return np.linalg.solve(at_voxels.T, at_positions.T).T


def resample_cubic(array: np.ndarray, matrices: Sequence[np.ndarray | None]) -> np.ndarray:
    """An array [z, y, x] or [y, x] of any real type on other positions; float32.

    ``matrices`` : of ``cubic_matrix`` for each axis of the array in its order; None leaves it.
    """
    if array.ndim == 2:
        return resample_cubic(array[np.newaxis], (None, *matrices))[0]
    along_z, along_y, along_x = (None if m is None else m.astype(np.float32) for m in matrices)
    shape = [
        length if m is None else len(m)
        for length, m in zip(array.shape, (None, along_y, along_x), strict=True)
    ]
    planes = np.empty(shape, np.float32)
    for first in range(0, len(array), _PLANES_AT_ONCE):  # no copy of the volume in float32
        part = array[first : first + _PLANES_AT_ONCE].astype(np.float32)
        part = _along_last(_along_last(part, along_x).swapaxes(1, 2), along_y)
        planes[first : first + _PLANES_AT_ONCE] = part.swapaxes(1, 2)
    if along_z is None:
        return planes
    return (along_z @ planes.reshape(len(planes), -1)).reshape(len(along_z), *shape[1:])


def _along_last(array: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """One product of two matrices: of one a plane, threads take longer to meet than to work."""
    if matrix is None:
        return array
    rows = np.ascontiguousarray(array).reshape(-1, array.shape[-1])
    return (rows @ matrix.T).reshape(*array.shape[:-1], len(matrix))


def _basis(positions: np.ndarray, count: int) -> np.ndarray:
    """[len(positions), count]: what each voxel's coefficient weighs at each position."""
    result = np.zeros((len(positions), count))
    low = np.floor(positions).astype(int)
    rows = np.arange(len(positions))
    for offset in (-1, 0, 1, 2):
        index = low + offset
        distance = np.abs(positions - index)
        near = 2 / 3 - distance**2 + distance**3 / 2
        weight = np.where(distance < 1, near, np.maximum(2 - distance, 0) ** 3 / 6)
        np.add.at(result, (rows, _mirrored(index, count)), weight)
    return result


def _mirrored(index: np.ndarray, count: int) -> np.ndarray:
    period = 2 * (count - 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index)
