"""The torch engine: any network, on CPU, CUDA or MPS."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from KDSegmentationLogic.inference.engines.base import EngineMemoryError
from KDSegmentationLogic.progress import Monitor

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    # oneDNN's words where its buffers, or the kernels with theirs, do not fit
    "could not create a memory object",
    "could not create a primitive",
)
# measured peak by tensors alive: up to 1.75 in layers (convolutions copy; resnet3d)
_LAYERS_KEEP = 1.75
_ALLOCATOR_KEEPS = 1.2


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
        """From the tensors alive during a forward of a small image; they grow with its size."""
        # a 2-D network may pad by its receptive field, which in a small image weighs too much
        least = 32 if self.dimensions == 3 else 128
        size = [-(-least // d) * d for d in self.divisor]
        live = _LiveTensors()
        with torch.inference_mode(), live.of_layers(self._network):
            image = torch.zeros(1, self._channels, *size, device=self.device)
            logits = self._network(image.contiguous(memory_format=self._format))
            live.count(logits)
        # the softmax works in place, but wants the classes' values side by side in memory: with
        # several threads a second copy of them was measured (186 against 106 bytes a voxel)
        at_end = live.now + logits.nbytes
        needed = max(_LAYERS_KEEP * live.peak, _ALLOCATOR_KEEPS * at_end)
        return needed / float(np.prod(size))


class _LiveTensors:
    """Bytes of the tensors that went into or came out of a network's layers and are not freed."""

    def __init__(self) -> None:
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    @contextlib.contextmanager
    def of_layers(self, network: nn.Module) -> Iterator[None]:
        def look(_: nn.Module, inputs: Any, output: Any) -> None:
            for tensor in (*inputs, output):
                self.count(tensor)
            self.peak = max(self.peak, self.now)

        hooks = [leaf.register_forward_hook(look) for leaf in _leaves(network)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def count(self, tensor: Any) -> None:
        if not isinstance(tensor, torch.Tensor):
            return
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.now += size
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _leaves(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if not list(module.children())]


@contextlib.contextmanager
def _cancellable(network: nn.Module, monitor: Monitor) -> Iterator[None]:
    """Look at the cancel token before each layer: a forward of a volume takes seconds."""

    def check(*_: Any) -> None:
        monitor.check()

    hooks = [leaf.register_forward_pre_hook(check) for leaf in _leaves(network)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
