"""Weights that cannot be written are said to be so, and leave nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from KDSegmentationLogic.bundles.weights import save_tensors

pytest.importorskip("resource", reason="POSIX alone limits the size of files")

# In a process of its own: the limit is for all files that a process writes.
FULL_DISK = """
import resource
import sys
from pathlib import Path
import torch
from KDSegmentationLogic.bundles.weights import save_tensors
from KDSegmentationLogic.commands.console import describe
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_tensors(Path(sys.argv[1]), {"a": torch.zeros(10_000)})
except OSError as error:
    print(describe(error))
"""


def test_a_full_disk_is_said_and_the_old_weights_stay(tmp_path: Path, project_root: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"a": torch.zeros(3)})
    before = path.read_bytes()

    command = [sys.executable, "-c", FULL_DISK, str(path)]
    said = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=True)

    assert "weights.safetensors cannot be written" in said.stdout
    assert "space left" in said.stdout
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
