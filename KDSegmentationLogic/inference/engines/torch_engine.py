"""The torch engine: any network, on CPU, CUDA or MPS."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from KDSegmentationLogic.inference.engines.base import EngineMemoryError
from KDSegmentationLogic.progress import Monitor

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
_CONVOLUTIONS_COPY = 1.75  # measured: 1.0 (dilated2d, unet3d) to 1.75 (resnet3d)


class TorchEngine:
    """Runs a network in evaluation mode, channels last (faster on CPU: 3.5 s to 2.0 s)."""

    name = "torch"

    def __init__(self, network: nn.Module, temperature: float = 1.0, device: str = "cpu") -> None:
        self.device = device
        self.dimensions = int(network.dimensions)  # type: ignore[arg-type]
        self.divisor = tuple(network.divisor)  # type: ignore[arg-type]
        self.classes = int(network.classes)  # type: ignore[arg-type]
        self._channels = int(network.in_channels)  # type: ignore[arg-type]
        self._temperature = temperature
        self._format = torch.channels_last_3d if self.dimensions == 3 else torch.channels_last
        self._network = network.to(device).eval()
        self._network.to(memory_format=self._format)  # type: ignore[call-overload]
        self.bytes_per_voxel = self._estimate_bytes_per_voxel()

    def probabilities(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """See ``Engine.probabilities``."""
        try:
            with torch.inference_mode(), _cancellable(self._network, monitor):
                inputs = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device)
                logits = self._network(inputs.contiguous(memory_format=self._format))
                return self._softmax(logits).cpu().numpy()
        except MemoryError as error:
            raise EngineMemoryError(str(error)) from error
        except RuntimeError as error:
            if any(text in str(error).lower() for text in _OUT_OF_MEMORY):
                if self.device == "cuda":
                    torch.cuda.empty_cache()
                raise EngineMemoryError(str(error)) from error
            raise

    def _softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Over the classes, in place: with twenty of them each copy is 80 bytes a voxel."""
        logits = logits.float().contiguous()
        logits /= self._temperature
        logits -= logits.amax(1, keepdim=True)
        logits.exp_()
        logits /= logits.sum(1, keepdim=True)
        return logits

    def _estimate_bytes_per_voxel(self) -> float:
        """From the tensors alive in a forward without numbers (on torch's meta device).

        That does not see the convolutions' own copies, nor that of logits from channels last
        into plain order.
        """
        size = [-(-128 // d) * d for d in self.divisor]
        tensors = (*self._network.named_parameters(), *self._network.named_buffers())
        empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
        live = _LiveTensors()
        with torch.no_grad(), live:
            image = torch.empty(1, self._channels, *size, device="meta")
            self._softmax(torch.func.functional_call(self._network, empty, (image,)))
        voxels = float(np.prod(size))
        return max(
            _CONVOLUTIONS_COPY * live.peak / voxels, 4.0 * (2 * self.classes + self._channels)
        )


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors made meanwhile and not yet freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, _: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        result = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@contextlib.contextmanager
def _cancellable(network: nn.Module, monitor: Monitor) -> Iterator[None]:
    """Look at the cancel token before each layer: a forward of a volume takes seconds."""

    def check(*_: Any) -> None:
        monitor.check()

    leaves = [m for m in network.modules() if not list(m.children())]
    hooks = [leaf.register_forward_pre_hook(check) for leaf in leaves]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
