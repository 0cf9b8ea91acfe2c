"""The pytest fixture ``host``, which a ``conftest.py`` imports; and ``started`` for others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from Testing.SlicerHost.host import Host


@contextlib.contextmanager
def started(folder: Path, packaging: bool = True, pytorch: bool = True) -> Iterator[Host]:
    """A running host; what a slot raised and the test did not clear is an error at the end.

    Skips where slicer-core or PySide6 is missing. Without ``packaging`` it is Slicer 5.10,
    without ``pytorch`` the PyTorch extension is not there.
    """
    pytest.importorskip("slicer", reason="needs slicer-core")
    pytest.importorskip("PySide6.QtWidgets", reason="needs PySide6")
    from Testing.SlicerHost.host import Host

    host = Host(folder, packaging, pytorch)
    host.start()
    try:
        yield host
    finally:
        host.stop()
    assert not host.errors, f"a slot raised: {host.errors!r}"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host for this test alone."""
    with started(tmp_path) as running:
        yield running
