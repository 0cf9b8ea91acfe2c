"""Lesions of white matter, as multiple sclerosis makes them: many small, most near ventricles.

Bright on FLAIR and T2, faintly dark on T1; some take up contrast agent inside, which is all that
a contrast-enhanced T1 adds. Numbers and sizes are plausible ranges, not fitted to patients.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from KDSegmentationLogic.training.synthesis.anatomy import tissue

COUNT = (8, 30)
RADIUS_MM = (2.0, 10.0)
NEAR_MM = 12.0  # of the ventricles, where half of the lesions are
ENHANCING_SHARE = 0.3


def add_lesions(
    tissues: np.ndarray, spacing_zyx: tuple[float, float, float], draws: np.random.Generator
) -> np.ndarray:
    """The tissues [z, y, x] with ``lesion`` and ``enhancing`` in some of the white matter."""
    result = tissues.copy()
    white = np.isin(tissues, [tissue("white"), tissue("periventricular")])
    for position in _centres(tissues, white, spacing_zyx, draws):
        radii = _radius(draws) * draws.uniform(0.7, 1.3, 3)
        box, distance = _blob(position, radii, spacing_zyx, tissues.shape, draws)
        inside = (distance < 1) & white[box]
        result[box][inside] = tissue("lesion")
        if draws.random() < ENHANCING_SHARE:
            result[box][inside & (distance < draws.uniform(0.5, 0.9))] = tissue("enhancing")
    return result


def _centres(
    tissues: np.ndarray,
    white: np.ndarray,
    spacing_zyx: tuple[float, float, float],
    draws: np.random.Generator,
) -> np.ndarray:
    count = int(draws.integers(COUNT[0], COUNT[1] + 1))
    places = np.argwhere(white)
    # the choroid plexus lies in the ventricles only; csf also round the brain
    choroid = tissues == tissue("choroid")
    near = places
    if choroid.any():
        low = np.maximum(np.argwhere(choroid).min(0) - 30, 0)
        high = np.argwhere(choroid).max(0) + 31
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        reach = ndimage.distance_transform_edt(~choroid[box], sampling=spacing_zyx)
        found = np.argwhere((reach < 2 * NEAR_MM) & (reach > 0.5 * NEAR_MM) & white[box]) + low
        near = found if len(found) else places
    chosen = [
        group[draws.integers(len(group))]
        for group in (near if draws.random() < 0.5 else places for _ in range(count))
    ]
    return np.array(chosen)


def _radius(draws: np.random.Generator) -> float:
    """mm; most are small."""
    return float(np.clip(draws.lognormal(np.log(4.5), 0.45), *RADIUS_MM))


def _blob(
    position: np.ndarray,
    radii: np.ndarray,
    spacing_zyx: tuple[float, float, float],
    shape: tuple[int, ...],
    draws: np.random.Generator,
) -> tuple[tuple[slice, ...], np.ndarray]:
    """A box, and in it the distance from the centre in radii, with a ragged edge."""
    reach = np.ceil(1.5 * radii.max() / np.array(spacing_zyx)).astype(int)
    low, high = np.maximum(position - reach, 0), np.minimum(position + reach + 1, shape)
    axes = [
        (np.arange(a, b) - p) * s / r
        for a, b, p, s, r in zip(low, high, position, spacing_zyx, radii, strict=True)
    ]
    distance = np.sqrt(sum(one**2 for one in np.meshgrid(*axes, indexing="ij")))
    ragged = ndimage.gaussian_filter(draws.standard_normal(distance.shape), 1.2)
    ragged *= 0.25 / max(float(ragged.std()), 1e-6)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), distance + ragged
