"""The torch engine: any network, on CPU, CUDA or MPS."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from KDSegmentationLogic.inference.engines.base import EngineMemoryError, is_out_of_memory
from KDSegmentationLogic.inference.engines.estimate import Logits, facts_of, leaves
from KDSegmentationLogic.inference.engines.head import Head
from KDSegmentationLogic.inference.engines.softmax import probabilities_of
from KDSegmentationLogic.progress import Monitor

# measured peak by tensors alive: up to 1.75 in layers (convolutions copy; resnet3d)
_LAYERS_KEEP = 1.75


class TorchEngine:
    """Runs a network in evaluation mode, channels last (faster on CPU: 3.5 s to 2.0 s).

    Parameters
    ----------
    half : the type that layers compute in where that is safe (autocast), None for float32.
        On a GPU float16 unless said otherwise. Logits that it makes infinite are computed again
        in float32.
    head : left to the caller; the network then ends at its features.
    """

    name = "torch"

    def __init__(
        self,
        network: nn.Module,
        temperature: float = 1.0,
        device: str = "cpu",
        half: torch.dtype | None = None,
        head: Head | None = None,
    ) -> None:
        facts = facts_of(network)
        self.device = device
        self.dimensions, self.divisor, self.stride = facts.dimensions, facts.divisor, facts.stride
        self.classes, self.head = facts.classes, head
        self._half = half if half or device == "cpu" else torch.float16
        self._temperature = temperature
        self._format = torch.channels_last_3d if self.dimensions == 3 else torch.channels_last
        self._network = network.to(device).eval()
        self._network.to(memory_format=self._format)  # type: ignore[call-overload]
        self._logits = Logits(self._network, features=head is not None)
        self._run: Callable[[torch.Tensor], torch.Tensor] = self._logits
        ends = facts.logit_bytes * (head.channels / facts.classes if head else 1)
        self.bytes_per_voxel = _LAYERS_KEEP * facts.layer_bytes + ends

    def logits(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """See ``Engine.logits``."""
        found = self.features(batch, monitor)
        return found if self.head is None else np.stack([self.head(each) for each in found])

    def features(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """See ``Engine.features``; without a head the logits."""
        with torch.inference_mode(), self._memory_watched():
            return self._forward(batch, monitor).float().contiguous().cpu().numpy()

    def probabilities(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """See ``Engine.probabilities``."""
        with torch.inference_mode(), self._memory_watched():
            if self.head is None:
                logits = self._forward(batch, monitor)
            else:
                logits = torch.from_numpy(self.logits(batch, monitor))
            return probabilities_of(logits, self.stride, self._temperature)

    def compile(self) -> None:
        """Let torch compile the network at its next forward: that takes a minute, needs a C++
        compiler (on a GPU Triton), and a forward can no more be cancelled within.
        """
        self._run = torch.compile(self._logits, dynamic=True)

    def release(self) -> None:
        """See ``Engine.release``: torch keeps nothing on a CPU, and counts it as free on a GPU."""

    def _forward(self, batch: np.ndarray, monitor: Monitor) -> torch.Tensor:
        inputs = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
        inputs = inputs.contiguous(memory_format=self._format)
        compiled = self._run is not self._logits
        monitor.check()
        # hooks would have a compiled network compiled again
        with contextlib.nullcontext() if compiled else _cancellable(self._network, monitor):
            if self._half:
                with torch.autocast(self.device, self._half):
                    logits = self._run(inputs).float()
                if torch.isfinite(logits).all():
                    return logits
            return self._run(inputs)

    @contextlib.contextmanager
    def _memory_watched(self) -> Iterator[None]:
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if self.device == "cuda":
                torch.cuda.empty_cache()
            raise EngineMemoryError(str(error)) from error


@contextlib.contextmanager
def _cancellable(network: nn.Module, monitor: Monitor) -> Iterator[None]:
    """Look at the cancel token before each layer: a forward of a volume takes seconds."""

    def check(*_: Any) -> None:
        monitor.check()

    hooks = [leaf.register_forward_pre_hook(check) for leaf in leaves(network)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
