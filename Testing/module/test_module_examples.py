"""The console examples of the README run as they are printed there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = re.compile(r"<!-- example -->\n+```python\n(.*?)```", re.DOTALL)


def test_the_readmes_examples_run_one_after_another(
    host: Any, project_root: Path, in_process: None
) -> None:
    import slicer

    examples = EXAMPLE.findall((project_root / "README.md").read_text(encoding="utf-8"))
    if not examples:
        pytest.skip("the README marks no example")
    host.load()
    from KDSegmentationPanels.sample import load_sample

    load_sample()
    names: dict[str, Any] = {"slicer": slicer}
    for code in examples:
        exec(compile(code, "README.md", "exec"), names)
    assert names["segmentation"].GetSegmentation().GetNumberOfSegments() == 2
    assert names["nodes"].tables
    assert in_process is None


def test_what_scripts_call_keeps_its_names_and_its_order() -> None:
    """Arguments may be added at the end; none may go, move or change its default."""
    from KDSegmentationLogic.scene.logic import SceneLogic

    expected = {
        "models": [],
        "process": [
            "volumes",
            "model",
            "point=None",
            "roi=None",
            "name=None",
            "settings=None",
            "monitor=None",
            "waitForCompletion=True",
            "onDone=None",
            "replace=False",
        ],
        "compare": [
            "volumes",
            "first",
            "second",
            "point=None",
            "roi=None",
            "settings=None",
            "monitor=None",
            "waitForCompletion=True",
            "onDone=None",
        ],
        "pick": [
            "volumes",
            "model",
            "point",
            "segmentation=None",
            "settings=None",
            "waitForCompletion=False",
            "onDone=None",
        ],
        "unpick": ["segmentation", "point"],
        "warm": ["model", "settings=None"],
        "tasks": [],
        "cancel": ["task"],
        "poll": [],
        "close": [],
    }
    for name, arguments in expected.items():
        parameters = list(inspect.signature(getattr(SceneLogic, name)).parameters.values())[1:]
        shown = [
            p.name if p.default is p.empty else f"{p.name}={p.default!r}"
            for p in parameters[: len(arguments)]
        ]
        assert shown == arguments, name
