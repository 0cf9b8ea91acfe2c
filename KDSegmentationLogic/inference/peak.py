"""How much memory a piece of work needs at its peak."""

from __future__ import annotations

import threading

import psutil

GIB = 2**30
_INTERVAL = 0.005  # s; the largest tensors of a forward live for longer


class PeakMemory:
    """Samples the resident memory of this process while the block runs.

    ``gib`` is the highest sample: all of the process, with Python and its libraries.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    @property
    def gib(self) -> float:
        return self._peak / GIB

    def __enter__(self) -> PeakMemory:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    def _sample(self) -> None:
        while not self._done.wait(_INTERVAL):
            self._look()

    def _look(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)
