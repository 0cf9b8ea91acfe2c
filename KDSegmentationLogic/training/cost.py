"""What a training costs: time, computing time and memory."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass

import psutil
import torch


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
    """Counts from its making on. ``devices``: processes that share the work."""

    def __init__(self, device: str, devices: int = 1) -> None:
        self._device, self._devices = device, devices
        self._clock, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        """What it cost since the meter was made."""
        seconds = time.perf_counter() - self._clock
        on_cpu = self._device == "cpu"
        one = time.process_time() - self._cpu if on_cpu else seconds
        peak = _peak_bytes() if on_cpu else _gpu_peak_bytes(self._device)
        return Cost(seconds, one * self._devices, peak / 2**30)


def _peak_bytes() -> int:
    """Highest resident memory of this process since it started."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts in bytes


def _gpu_peak_bytes(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return torch.mps.driver_allocated_memory()
