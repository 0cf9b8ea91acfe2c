"""The interface of all engines."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from KDSegmentationLogic.inference.engines.head import Head
from KDSegmentationLogic.progress import Monitor

# The words of torch, oneDNN, OpenVINO and ONNX Runtime, whose exceptions have no type for it.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "failed to allocate",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "could not create a memory object",
    "could not create a primitive",
)


class EngineMemoryError(Exception):
    """The engine could not get the memory for one forward; smaller windows may fit."""


class Engine(Protocol):
    """One network, ready to run on one device.

    dimensions : 2 or 3.
    divisor : input sizes must be multiples of this, per spatial axis.
    stride : per spatial axis, input voxels that one voxel of the logits stands for; it divides
        ``divisor``. Voxel j is centred on the input voxels j * stride to (j + 1) * stride - 1.
    classes : channels of the output.
    device : "cpu", "cuda" or "mps".
    head : the network's last layer, where it can be left to the caller; else none.
    bytes_per_voxel : peak memory of ``logits`` (``features`` where there is a head) divided by
        its input's voxels, estimated.
    """

    name: str
    device: str
    dimensions: int
    divisor: tuple[int, ...]
    stride: tuple[int, ...]
    classes: int
    head: Head | None
    bytes_per_voxel: float

    def logits(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """The scores of all classes, at the resolution at which the network computes them.

        Parameters
        ----------
        batch : float32 [n, c, (z,) y, x], sizes multiples of ``divisor``.

        Returns
        -------
        float32 [n, k, (z,) y, x], its sizes those of the batch over ``stride``.

        Raises
        ------
        EngineMemoryError : the device's memory does not hold this forward.
        Cancelled : the monitor's token was set; noticed during the forward.
        """
        ...

    def features(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """What ``head`` makes logits of; only where there is one. As ``logits``, channels first."""
        ...

    def probabilities(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """Softmax of logits / temperature at the input's resolution: float32 [n, k, (z,) y, x].

        Logits of a lower resolution are interpolated first. Takes and raises as ``logits``.
        """
        ...

    def release(self) -> None:
        """Give back what is kept between two forwards of one image for the next of them."""
        ...


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library's exception says that memory was lacking."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or any(text in words for text in _OUT_OF_MEMORY)
