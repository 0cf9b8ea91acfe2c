"""Weights that cannot be written are said to be so, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from KDSegmentationLogic.bundles.weights import save_tensors
from KDSegmentationLogic.commands.console import describe

resource = pytest.importorskip("resource", reason="POSIX alone limits the size of files")


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Files end after 4 kB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_said_and_the_old_weights_stay(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"a": torch.zeros(3)})
    before = path.read_bytes()

    with pytest.raises(OSError, match=r"weights\.safetensors cannot be written") as found:
        save_tensors(path, {"a": torch.zeros(10_000)})

    assert "space left" in describe(found.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
