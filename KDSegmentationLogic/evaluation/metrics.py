"""How well one mask agrees with another: overlap, surface distance, volume.

Definitions
-----------
Dice : ``2 |P and R| / (|P| + |R|)``.
HD95 : the larger of the two directed 95th percentiles of the surface distances (linear
    interpolation), as in MONAI, DeepMind's surface-distance and Metrics Reloaded (Maier-Hein
    et al., Nature Methods 2024). medpy takes one percentile of both directions pooled, which
    is smaller where only one of the masks strays.
ASSD : mean of the surface distances of both directions pooled, as in MONAI.
Surface Dice (normalised surface distance, NSD; Nikolov et al. 2021, doi:10.2196/26151) : the
    share of both surfaces' voxels that lie within a tolerance of the other surface, as in
    MONAI. The tolerance is what two experts differ by; ``TOLERANCE`` where none is given.
Volume difference : prediction minus reference; relative to the reference.

Empty masks
-----------
Both empty : Dice 1, because the absence was predicted rightly; a model that invents the
    structure there gets Dice 0, and both must count when two models are compared on one case.
    Surface Dice likewise. Distances are undefined (nan): there is no surface, and a 0 would
    flatter the mean.
One empty : Dice and surface Dice 0, distances undefined (nan): any finite figure would be
    invented.
Reference empty : the relative volume difference is undefined (nan).

``presence`` tells these cases apart, and tables count them beside every mean, since a mean
distance over the defined cases alone is too kind to a model that misses structures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from KDSegmentationLogic.evaluation.surface import bounding_box, surface_distances

TOLERANCE = 1.0
"""Of the surface Dice, in the unit of the spacing, where the caller gives none."""


@dataclass(frozen=True)
class MaskComparison:
    """Agreement of a prediction with a reference; definitions in the module's docstring.

    Lengths are in the unit of the spacing, volumes in its cube (2-D: its square).
    """

    dice: float
    hd95: float
    assd: float
    surface_dice: float
    prediction_volume: float
    reference_volume: float

    @property
    def volume_difference(self) -> float:
        """Prediction minus reference."""
        return self.prediction_volume - self.reference_volume

    @property
    def relative_volume_difference(self) -> float:
        """Volume difference over the reference's volume; nan where the reference is empty."""
        if self.reference_volume == 0:
            return math.nan
        return self.volume_difference / self.reference_volume

    @property
    def presence(self) -> str:
        """``both``, ``missed`` (reference only), ``spurious`` (prediction only) or ``absent``."""
        if self.prediction_volume > 0:
            return "both" if self.reference_volume > 0 else "spurious"
        return "missed" if self.reference_volume > 0 else "absent"


def compare_masks(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_zyx: Sequence[float],
    tolerance: float = TOLERANCE,
) -> MaskComparison:
    """Compare two masks on one grid.

    Parameters
    ----------
    prediction, reference : boolean (or 0 and 1) arrays of one shape, axes [z, y, x] or [y, x].
    spacing_zyx : distance between voxel centres along each array axis.
    tolerance : of the surface Dice, in the same unit.

    An axis of extent one has no surface across it: a volume of a single slice is compared as
    that slice is in 2-D (its thickness still counts for the volume).

    Raises
    ------
    ValueError : shapes differ, the spacing is not one positive number for each axis, or the
        tolerance is below zero.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"shapes differ: {prediction.shape} and {reference.shape}")
    if len(spacing_zyx) != prediction.ndim or min(spacing_zyx) <= 0:
        raise ValueError(f"spacing {spacing_zyx} does not fit {prediction.ndim} axes")
    if not tolerance >= 0:
        raise ValueError(f"the tolerance {tolerance} is below zero")
    voxel = math.prod(spacing_zyx)
    axes = [axis for axis, extent in enumerate(prediction.shape) if extent > 1] or [0]
    spacing = [spacing_zyx[axis] for axis in axes]
    first, second = _cropped(
        prediction.astype(bool, copy=False).reshape([prediction.shape[axis] for axis in axes]),
        reference.astype(bool, copy=False).reshape([reference.shape[axis] for axis in axes]),
    )
    first_count, second_count = int(np.count_nonzero(first)), int(np.count_nonzero(second))
    hd95, assd, near = math.nan, math.nan, float(first_count == second_count)
    if first_count and second_count:
        distances = surface_distances(first, second, spacing)
        hd95, assd = _distance_summary(*distances)
        # as computed, a distance of exactly the tolerance may lie above it by its last digit
        near = float(np.mean(np.concatenate(distances) <= tolerance * (1 + 1e-9)))
    return MaskComparison(
        dice=_dice(int(np.count_nonzero(first & second)), first_count, second_count),
        hd95=hd95,
        assd=assd,
        surface_dice=near,
        prediction_volume=float(first_count * voxel),
        reference_volume=float(second_count * voxel),
    )


def _cropped(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    either = first | second
    if not either.any():
        return first, second
    box = bounding_box(either)
    return first[box], second[box]


def _dice(common: int, first: int, second: int) -> float:
    return 2.0 * common / (first + second) if first + second else 1.0


def _distance_summary(there: np.ndarray, back: np.ndarray) -> tuple[float, float]:
    hd95 = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    return hd95, float(np.concatenate([there, back]).mean())
