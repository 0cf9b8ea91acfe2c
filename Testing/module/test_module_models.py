"""Models that cannot be used are named in the panel, and not left out in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_a_damaged_model_is_named_with_what_to_do(panels: Any, models: Path) -> None:
    assert not panels.inputsPanel.problems.visible
    (models / "Tiny-ensemble" / "configs" / "metadata.json").write_text("{", encoding="utf-8")

    panels.board.load()

    assert "Tiny-ensemble" in panels.inputsPanel.problems.text
    assert panels.inputsPanel.problems.visible
    names = [panels.inputsPanel.models.itemData(n) for n in range(panels.inputsPanel.models.count)]
    assert "Tiny-ensemble" not in names
    assert "Tiny-student" in names
