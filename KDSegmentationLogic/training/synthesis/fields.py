"""Smooth random fields and averages over voxels, on tensors; torch's global generator draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional


def smooth_noise(shape: Sequence[int], coarseness: int) -> torch.Tensor:
    """[z, y, x] of unit deviation, linear between random values ``coarseness`` voxels apart."""
    coarse = [max(2, size // coarseness + 1) for size in shape]
    values = torch.randn(1, 1, *coarse)
    field = functional.interpolate(values, tuple(shape), mode="trilinear", align_corners=True)[0, 0]
    return field / field.std().clamp_min(1e-6)


def average_matrix(
    count: int, step: float, voxels: int, spacing: float, thickness: float
) -> torch.Tensor:
    """[voxels, count]: what voxels along one axis see of finer samples, weights summing to 1.

    Slices of ``thickness`` mm lie side by side, each the average of the samples under it; between
    their centres it is linear. Both grids have one centre.

    Parameters
    ----------
    count, step : of the fine samples, mm. voxels, spacing : of the result, mm.
    """
    slices = max(1, int(np.ceil(count * step / thickness - 1e-9)))
    seen = _overlap(count, step, slices, thickness)
    centres = (np.arange(voxels) - (voxels - 1) / 2) * spacing
    position = np.clip(centres / thickness + (slices - 1) / 2, 0, slices - 1)
    low = np.minimum(position.astype(int), max(0, slices - 2))
    between = np.zeros((voxels, slices), np.float32)
    rows = np.arange(voxels)
    between[rows, low] += (1 - (position - low)).astype(np.float32)
    if slices > 1:
        between[rows, low + 1] += (position - low).astype(np.float32)
    return torch.from_numpy(between @ seen)


def box_matrix(count: int, step: float, voxels: int, spacing: float) -> torch.Tensor:
    """[voxels, count]: the average of the fine samples inside each voxel; one common centre."""
    return torch.from_numpy(_overlap(count, step, voxels, spacing))


def along_axes(volume: torch.Tensor, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """A matrix along each of the axes z, y, x of a float volume."""
    for axis in (2, 1, 0):
        volume = torch.movedim(torch.movedim(volume, axis, -1) @ matrices[axis].T, -1, axis)
    return volume.contiguous()


def _overlap(count: int, step: float, voxels: int, spacing: float) -> np.ndarray:
    """What each voxel sees; one that reaches over the edge sees what of it lies inside.

    None may lie wholly outside, which the counts in use, rounded to a voxel, rule out.
    """
    fine = (np.arange(count + 1) - count / 2) * step
    coarse = (np.arange(voxels + 1) - voxels / 2) * spacing
    upper = np.minimum(coarse[1:, None], fine[None, 1:])
    lower = np.maximum(coarse[:-1, None], fine[None, :-1])
    weights = np.maximum(upper - lower, 0.0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
