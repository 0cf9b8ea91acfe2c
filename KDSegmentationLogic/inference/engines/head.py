"""The last layer of a network, applied to a few planes of its features at a time.

A network of 104 classes turns 24 channels of features into 104 of logits. Where the engine
stops at the features, the volume's logits are never in memory together: what a segmentation
needs hardly grows with the classes. A student's second head, which says how far the members of
its ensemble disagree, reads the same features.
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

    second : the head that learned the ensemble's standard deviation, where there is one.
    """

    weights: np.ndarray
    bias: np.ndarray
    second: Head | None = None

    @property
    def channels(self) -> int:
        """Of the features."""
        return self.weights.shape[1]

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Logits [k, ...] of features [c, ...]."""
        logits = self.weights @ features.reshape(self.channels, -1)
        logits += self.bias[:, np.newaxis]
        return logits.reshape(-1, *features.shape[1:])

    def deviation(self, features: np.ndarray) -> np.ndarray | None:
        """Standard deviation over the ensemble's members, 0 to 1/2, [k, ...]; None without it."""
        if self.second is None:
            return None
        # the logistic function, which overflows nowhere in this form
        return (1 + np.tanh(self.second(features) / 2)) / 4


def read_head(bundle: Bundle, member: Member) -> Head:
    """The classifier of a member's network; torch is not needed for it."""
    from safetensors import safe_open

    with safe_open(str(bundle.weight_path(member)), framework="numpy") as file:

        def head(layer: str, second: Head | None = None) -> Head:
            weights, bias = (
                file.get_tensor(f"{layer}.{name}").astype(np.float32) for name in ("weight", "bias")
            )
            return Head(weights.reshape(weights.shape[:2]), bias, second)

        return head("classifier", head("deviation") if has_second_head(member) else None)


def has_second_head(member: Member) -> bool:
    return bool(member.arguments.get("deviation"))
