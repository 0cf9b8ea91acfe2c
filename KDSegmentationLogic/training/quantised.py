"""A teacher's probabilities and standard deviations as whole numbers, on disk and in memory.

Probabilities take two bytes each, on a scale of their fourth root: the error is at most 3.1e-5,
and what is above 4e-21 does not become 0. A temperature T looks at q^(1/T), to which the small
probabilities matter most: with one byte on an even scale 0.001 is nothing, and softened at a
temperature of 4 it is 0.15.

Standard deviations, at most 1/2, take one byte on an even scale: the error is at most 1/1020.
"""

from __future__ import annotations

import numpy as np

_PROBABILITY = 65535
_DEVIATION = 510


def encode_probabilities(values: np.ndarray) -> np.ndarray:
    """uint16 of float 0 to 1; the order of any two stays."""
    root = np.sqrt(np.sqrt(np.clip(values, 0, 1)))
    return np.rint(_PROBABILITY * root).astype(np.uint16)


def decode_probabilities(codes: np.ndarray) -> np.ndarray:
    """float32 of what ``encode_probabilities`` gave."""
    root = codes.astype(np.float32) / np.float32(_PROBABILITY)
    return np.square(np.square(root))


def encode_deviation(values: np.ndarray) -> np.ndarray:
    """uint8 of float 0 to 1/2."""
    return np.rint(_DEVIATION * np.clip(values, 0, 0.5)).astype(np.uint8)


def decode_deviation(codes: np.ndarray) -> np.ndarray:
    """float32 of what ``encode_deviation`` gave."""
    return codes.astype(np.float32) / np.float32(_DEVIATION)
