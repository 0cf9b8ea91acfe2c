"""The last layer of a network of many classes, applied to a few planes at a time.

A network of 104 classes turns 24 channels of features into 104 of logits. Where the engine
stops at the features, the volume's logits are never in memory together: what a segmentation
needs hardly grows with the classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Member


@dataclass(frozen=True, eq=False)
class Head:
    """A 1x1(x1) convolution: ``weights`` [k, c], ``bias`` [k], float32.

    It is linear, so windows may be blended before it as well as after it.
    """

    weights: np.ndarray
    bias: np.ndarray

    @property
    def channels(self) -> int:
        """Of the features."""
        return self.weights.shape[1]

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Logits [k, ...] of features [c, ...]."""
        logits = self.weights @ features.reshape(self.channels, -1)
        logits += self.bias[:, np.newaxis]
        return logits.reshape(-1, *features.shape[1:])


def read_head(bundle: Bundle, member: Member) -> Head:
    """The classifier of a member's network; torch is not needed for it."""
    from safetensors import safe_open

    with safe_open(str(bundle.weight_path(member)), framework="numpy") as file:
        weights = file.get_tensor("classifier.weight").astype(np.float32)
        bias = file.get_tensor("classifier.bias").astype(np.float32)
    return Head(weights.reshape(weights.shape[:2]), bias)
