"""A worker whose models do what a test asks for: the setting ``engine`` says what.

Everything but the model is the real child process. Run as a script by the tests' clients.
"""

from __future__ import annotations

import builtins
import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import SimpleITK as sitk

from KDSegmentationLogic import errors
from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.inference.pipeline import Result, Settings
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.worker.server import main

CUDA_FAULT = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might ..."


class OddPredictor:
    """Segments what is brighter than 50, after doing what ``settings.engine`` names."""

    device = "cpu"

    def __init__(self, bundle: Bundle, settings: Settings, monitor: Monitor) -> None:
        self.bundle, self.settings = bundle, settings
        monitor.notice(f"Running on {self.device}: it is odd.")

    def segment(self, images: Sequence[sitk.Image], _region: object, monitor: Monitor) -> Result:
        action, _, argument = self.settings.engine.partition(":")
        limit_files(None)
        ACTIONS[action](argument, monitor)
        labels = sitk.Cast(images[0] > 50, sitk.sitkUInt8)
        return Result(labels, self.device, action, {"predict": 0.0})


def print_much(*_: object) -> None:
    print("a library speaks", flush=True)
    os.write(1, b"and one in C\n" * 20_000)
    ctypes.CDLL(None).puts(b"and a third one")
    sys.stderr.write("a warning\n" * 20_000)


def count(seconds: str, monitor: Monitor) -> None:
    started = time.monotonic()
    while (passed := time.monotonic() - started) < float(seconds):
        monitor.report(passed / float(seconds), "counting")
        time.sleep(0.005)


def limit_files(size: int | None) -> None:
    """To so many bytes; a disk that is full says the same in other words."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def raise_error(text: str, *_: object) -> None:
    name, message = text.split(":", 1)
    known: dict[str, Any] = {**vars(errors), **vars(builtins)}
    kind = known[name]
    if issubclass(kind, errors.KDSegError):
        raise kind("The cause, naïve.", "The remedy.")
    raise kind(message)


ACTIONS = {
    "auto": lambda _, monitor: monitor.report(0.5, "half"),
    "print": print_much,
    "count": count,
    "deaf": lambda seconds, _: time.sleep(float(seconds)),
    "raise": raise_error,
    "fault": lambda *_: raise_error(f"RuntimeError:{CUDA_FAULT}"),
    "signal": lambda number, _: os.kill(os.getpid(), int(number)),
    "exit": lambda status, _: os._exit(int(status)),
    "full": lambda *_: limit_files(100),
}

if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    main(OddPredictor)  # type: ignore[arg-type]
