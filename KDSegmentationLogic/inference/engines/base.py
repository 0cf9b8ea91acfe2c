"""The interface of all engines."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from KDSegmentationLogic.progress import Monitor


class EngineMemoryError(Exception):
    """The engine could not get the memory for one forward; smaller windows may fit."""


class Engine(Protocol):
    """One network, ready to run on one device.

    dimensions : 2 or 3.
    divisor : input sizes must be multiples of this, per spatial axis.
    classes : channels of the output.
    device : "cpu", "cuda" or "mps".
    bytes_per_voxel : peak memory of a forward divided by its input's voxels, estimated.
    """

    name: str
    device: str
    dimensions: int
    divisor: tuple[int, ...]
    classes: int
    bytes_per_voxel: float

    def probabilities(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """Softmax of logits / temperature.

        Parameters
        ----------
        batch : float32 [n, c, (z,) y, x], sizes multiples of ``divisor``.

        Returns
        -------
        float32 [n, k, (z,) y, x].

        Raises
        ------
        EngineMemoryError : the device's memory does not hold this forward.
        Cancelled : the monitor's token was set; noticed between two layers.
        """
        ...
