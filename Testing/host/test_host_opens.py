"""The module as it is opens on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_the_present_module_opens(host: Any, tmp_path: Path) -> None:
    widget = host.open()
    assert widget.parent.isVisible()
    picture = host.grab(tmp_path / "window.png")
    assert picture.width() > 1000
