"""The pytest fixtures ``host`` and ``make_host``; a ``conftest.py`` imports them by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def host(tmp_path: Path) -> Iterator[object]:
    """A started ``Host``; what a slot raised and the test did not clear fails the test."""
    pytest.importorskip("slicer", reason="needs slicer-core")
    pytest.importorskip("PySide6.QtWidgets", reason="needs PySide6")
    from Testing.SlicerHost.host import Host

    host = Host(tmp_path)
    host.start()
    try:
        yield host
    finally:
        host.stop()
    assert not host.errors, f"a slot raised: {host.errors!r}"
