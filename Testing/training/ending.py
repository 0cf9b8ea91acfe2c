"""Trainings that end before they are done: stopped by an exception, or killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from KDSegmentationLogic.progress import Monitor

# Trains as the tests' module does, and waits at a step for an answer that never comes.
TO_BE_KILLED = """
import importlib
import sys
from pathlib import Path
import torch
from KDSegmentationLogic.progress import Monitor
module, step, checkpoint = sys.argv[1:]
torch.set_num_threads(1)
def progress(fraction, text):
    if text.startswith(f"step {step} "):
        print("ready", flush=True)
        sys.stdin.read()
importlib.import_module(module).train(Path(checkpoint), Monitor(progress))
"""


class Stopped(Exception):
    pass


def stop_after(step: int) -> Monitor:
    """A monitor that raises ``Stopped`` when a training tells of that step."""

    def progress(_: float, text: str) -> None:
        if text.startswith(f"step {step} "):
            raise Stopped

    return Monitor(progress)


def kill_after(step: int, module: str, checkpoint: Path, root: Path) -> None:
    """``module.train(checkpoint, monitor)`` in a process, killed at that step."""
    command = [sys.executable, "-c", TO_BE_KILLED, module, str(step), str(checkpoint)]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        process.kill()
    assert process.returncode != 0
