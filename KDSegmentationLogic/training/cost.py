"""What a training costs: time, computing time and memory."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import torch

from KDSegmentationLogic.inference.peak import PeakMemory


@dataclass(frozen=True)
class Cost:
    """seconds : of the clock. compute_seconds : of all cores, or of all GPUs, a stand-in for
    energy. peak_memory_gib : of the process (on a GPU: of the GPU's memory) at its highest.
    """

    seconds: float = 0.0
    compute_seconds: float = 0.0
    peak_memory_gib: float = 0.0

    def plus(self, other: Cost) -> Cost:
        """Of this and a later part of the same training."""
        return Cost(
            self.seconds + other.seconds,
            self.compute_seconds + other.compute_seconds,
            max(self.peak_memory_gib, other.peak_memory_gib),
        )

    def rounded(self) -> dict[str, float]:
        return {name: round(value, 2) for name, value in asdict(self).items()}


class Meter:
    """Counts while the block runs. ``devices``: processes that share the work."""

    def __init__(self, device: str, devices: int = 1) -> None:
        self._device, self._devices = device, devices
        self._memory = PeakMemory()
        self._clock = self._cpu = 0.0

    def __enter__(self) -> Meter:
        self._memory.__enter__()
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.__exit__()

    def _begin(self) -> None:
        self._clock, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        """What it cost since the last reading, or the start; memory since the start."""
        seconds = time.perf_counter() - self._clock
        on_cpu = self._device == "cpu"
        one = time.process_time() - self._cpu if on_cpu else seconds
        gib = self._memory.gib if on_cpu else _gpu_peak_bytes(self._device) / 2**30
        self._begin()
        return Cost(seconds, one * self._devices, gib)


def _gpu_peak_bytes(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return torch.mps.driver_allocated_memory()
