"""How bright each tissue is: ranges of a contrast, from which each case draws its own values.

The unit is the brightest brain tissue of that contrast. The ranges of T1 follow the T1 statistics
that SynthSeg gives with its label maps (Billot et al. 2023), divided by their white matter; the
others are set after the usual order of the tissues in that contrast and looked at beside real
images, not fitted to any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from KDSegmentationLogic.training.synthesis.anatomy import TISSUES

Range = tuple[float, float]

_T1: dict[str, Range] = {
    "air": (0.0, 0.01),
    "white": (0.96, 1.02),
    "periventricular": (0.72, 0.88),
    "vessel": (0.5, 0.7),
    "cortex": (0.58, 0.7),
    "caudate": (0.64, 0.74),
    "putamen": (0.72, 0.82),
    "pallidum": (0.86, 0.96),
    "thalamus": (0.76, 0.86),
    "ventral_diencephalon": (0.82, 0.93),
    "cerebellar_white": (0.9, 1.0),
    "cerebellar_grey": (0.55, 0.66),
    "brain_stem": (0.82, 0.92),
    "csf": (0.15, 0.27),
    "choroid": (0.32, 0.45),
    "artery": (0.3, 1.2),
    "eye": (0.1, 0.18),
    "muscle": (0.42, 0.58),
    "mucosa": (0.4, 0.6),
    "skin": (0.5, 0.75),
    "cord": (0.8, 0.92),
    "vein": (0.25, 0.45),
    "bone": (0.06, 0.16),
    "marrow": (0.5, 0.95),
    "optic_nerve": (0.75, 0.95),
    "fat": (1.1, 1.5),
    "lesion": (0.68, 0.86),
    "enhancing": (0.68, 0.86),
}

RANGES: dict[str, dict[str, Range]] = {
    "T1": _T1,
    "T2": {
        "air": (0.0, 0.01),
        "white": (0.27, 0.34),
        "periventricular": (0.38, 0.48),
        "vessel": (0.5, 0.8),
        "cortex": (0.44, 0.54),
        "caudate": (0.4, 0.48),
        "putamen": (0.35, 0.43),
        "pallidum": (0.22, 0.3),
        "thalamus": (0.36, 0.43),
        "ventral_diencephalon": (0.3, 0.37),
        "cerebellar_white": (0.29, 0.36),
        "cerebellar_grey": (0.43, 0.53),
        "brain_stem": (0.31, 0.38),
        "csf": (0.9, 1.0),
        "choroid": (0.65, 0.85),
        "artery": (0.02, 0.08),
        "eye": (0.9, 1.0),
        "muscle": (0.12, 0.2),
        "mucosa": (0.6, 0.8),
        "skin": (0.2, 0.4),
        "cord": (0.3, 0.38),
        "vein": (0.05, 0.2),
        "bone": (0.02, 0.06),
        "marrow": (0.25, 0.5),
        "optic_nerve": (0.35, 0.5),
        "fat": (0.5, 0.8),
        "lesion": (0.58, 0.8),
        "enhancing": (0.58, 0.8),
    },
    "FLAIR": {
        "air": (0.0, 0.01),
        "white": (0.5, 0.6),
        "periventricular": (0.62, 0.75),
        "vessel": (0.2, 0.4),
        "cortex": (0.66, 0.78),
        "caudate": (0.66, 0.76),
        "putamen": (0.6, 0.7),
        "pallidum": (0.48, 0.58),
        "thalamus": (0.6, 0.7),
        "ventral_diencephalon": (0.54, 0.64),
        "cerebellar_white": (0.5, 0.62),
        "cerebellar_grey": (0.64, 0.76),
        "brain_stem": (0.52, 0.64),
        "csf": (0.08, 0.2),
        "choroid": (0.4, 0.65),
        "artery": (0.05, 0.2),
        "eye": (0.08, 0.15),
        "muscle": (0.25, 0.4),
        "mucosa": (0.6, 0.9),
        "skin": (0.35, 0.6),
        "cord": (0.5, 0.6),
        "vein": (0.15, 0.35),
        "bone": (0.03, 0.1),
        "marrow": (0.3, 0.6),
        "optic_nerve": (0.45, 0.6),
        "fat": (0.8, 1.2),
        "lesion": (0.98, 1.3),
        "enhancing": (0.98, 1.3),
    },
    "T1CE": {
        **_T1,
        "vessel": (0.8, 1.2),
        "choroid": (1.0, 1.35),
        "artery": (1.0, 1.5),
        "muscle": (0.5, 0.68),
        "mucosa": (0.9, 1.3),
        "skin": (0.6, 0.85),
        "vein": (1.2, 1.6),
        "enhancing": (1.2, 1.6),
    },
}
"""Contrast to tissue to the range of its mean. T1CE is T1 with a contrast agent."""

RANDOM, ANY = "random", "any"

CONTRASTS = (*RANGES, RANDOM, ANY)
"""What can be asked for. ``random`` draws each tissue's mean from nothing to full (after Billot et
al. 2023); ``any`` is, by equal chances, that or one of the named ones, drawn for each case."""

_EVEN = ("air", "eye", "bone", "csf")  # these have little texture of their own
_COARSE = ("muscle", "fat", "skin", "marrow", "mucosa", "artery")


@dataclass(frozen=True)
class Drawn:
    """Mean and standard deviation of each tissue, float32 in the order of ``TISSUES``."""

    means: np.ndarray
    deviations: np.ndarray


def draw_contrast(name: str, draws: np.random.Generator) -> Drawn:
    """The intensities of one case in one contrast."""
    if name == ANY:
        name = RANDOM if draws.random() < 0.5 else str(draws.choice(list(RANGES)))
    if name == RANDOM:
        means = draws.uniform(0.0, 1.0, len(TISSUES))
        deviations = draws.uniform(0.0, 0.1, len(TISSUES))
        # air has no signal in MR, whatever the contrast, but what skull stripping and
        # rescaling make of it differs
        means[TISSUES.index("air")] *= 0.1 if draws.random() < 0.8 else 1.0
        deviations[TISSUES.index("air")] *= 0.1
        return Drawn(means.astype(np.float32), deviations.astype(np.float32))
    ranges: Mapping[str, Range] = RANGES[name]
    means = np.array([draws.uniform(*ranges[one]) for one in TISSUES])
    shares = np.array([_texture(one) for one in TISSUES]) * draws.uniform(0.7, 1.3)
    return Drawn(means.astype(np.float32), (means * shares).astype(np.float32))


def _texture(name: str) -> float:
    """Standard deviation inside a tissue as a share of its mean."""
    return 0.03 if name in _EVEN else 0.15 if name in _COARSE else 0.05
