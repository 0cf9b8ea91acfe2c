"""The module file runs against the real MRML scene and a small double of the application."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from Testing.making import tiny_student
from Testing.project import module_double
from Testing.project.source_tree import PACKAGE, ROOT

pytest.importorskip("slicer", reason="needs slicer-core")

MODULE = ROOT / "KDSegmentation" / "KDSegmentation.py"


def package_modules() -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in sys.modules.items()
        if name == PACKAGE or name.startswith(PACKAGE + ".")
    }


def load() -> Any:
    """The module file, imported as Slicer does: by its path."""
    specification = importlib.util.spec_from_file_location("KDSegmentation", MODULE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module_double.install(monkeypatch)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = package_modules()
    loaded = load()
    monkeypatch.setitem(sys.modules, "KDSegmentation", loaded)
    yield loaded
    # A test may have dropped the package; others hold classes of the first import.
    for name in package_modules():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real MRML scene, without the application; one small model is installed."""
    from KDSegmentationLogic.scene.headless import start

    start()
    monkeypatch.setenv("KDSEG_MODELS", str(tmp_path))
    tiny_student(tmp_path / "tiny")


def test_the_module_describes_itself(module: Any) -> None:
    parent = SimpleNamespace()
    module.KDSegmentation(parent)
    assert parent.title == "KD Segmentation"
    assert parent.categories == ["Segmentation"]
    assert "Segmentations" in parent.dependencies
    assert parent.contributors
    assert parent.helpText
    assert parent.acknowledgementText


def test_no_class_hides_the_package(module: Any) -> None:
    assert not isinstance(getattr(module, PACKAGE, None), type)


@pytest.mark.usefixtures("module")
def test_the_package_is_found_in_the_source_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in package_modules():
        monkeypatch.delitem(sys.modules, name)
    real = importlib.util.find_spec
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == PACKAGE else real(name)
    )
    load()
    assert sys.path == [str(ROOT)]


@pytest.mark.usefixtures("scene")
def test_the_panel_lists_the_installed_models(module: Any) -> None:
    widget = module.KDSegmentationWidget()
    widget.setup()
    _, models = widget.layout.widgets
    assert "tiny: Tiny phantom" in models.items()
    assert len(models.items()) == len(widget.logic.models())


@pytest.mark.usefixtures("scene")
def test_the_call_that_the_panel_tells_exists(module: Any) -> None:
    widget = module.KDSegmentationWidget()
    widget.setup()
    introduction, _ = widget.layout.widgets
    told = re.search(r"getModuleLogic\('KDSegmentation'\)\.(\w+)\(", introduction.text)
    assert told
    assert callable(getattr(widget.logic, told[1]))


def test_reloading_drops_the_package_and_reloads_the_file(module: Any) -> None:
    import KDSegmentationLogic.errors  # noqa: F401

    widget = module.KDSegmentationWidget()
    widget.onReload()
    assert not package_modules()
    assert widget.reloaded == 1


@pytest.mark.usefixtures("scene")
def test_the_modules_own_test_passes(module: Any) -> None:
    module.KDSegmentationTest().runTest()
