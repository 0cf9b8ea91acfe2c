"""The module file runs in a test double of the application, over the real MRML scene."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from Testing.making import tiny_student
from Testing.project.source_tree import PACKAGE, ROOT
from Testing.SlicerHost.fixture import started


def package_modules() -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in sys.modules.items()
        if name == PACKAGE or name.startswith(PACKAGE + ".")
    }


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Any]:
    with started(tmp_path / "host") as running:
        yield running


@pytest.fixture
def module(host: Any) -> Any:
    """The module file, imported as Slicer does."""
    host.load()
    return sys.modules["KDSegmentation"]


@pytest.fixture
def opened(host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module's widget; one small model is installed beside the bundled ones."""
    monkeypatch.setenv("KDSEG_MODELS", str(tmp_path / "models"))
    tiny_student(tmp_path / "models" / "tiny")
    return host.open()


def test_the_module_describes_itself(host: Any) -> None:
    parent = host.load()
    assert parent.title == "KD Segmentation"
    assert parent.categories == ("Segmentation",)
    assert "Segmentations" in parent.dependencies
    assert parent.contributors
    assert parent.helpText
    assert parent.acknowledgementText


def test_no_class_hides_the_package(module: Any) -> None:
    assert not isinstance(getattr(module, PACKAGE, None), type)


@pytest.mark.usefixtures("module")
def test_the_package_is_found_in_the_source_tree(
    host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == PACKAGE else real(name)
    )
    host.load()
    assert str(ROOT) in sys.path


def test_scripts_find_the_logic_and_its_models(opened: Any) -> None:
    import slicer

    logic = slicer.util.getModuleLogic("KDSegmentation")
    assert logic is opened.logic
    assert "tiny" in [model.name for model in logic.models()]


def test_reloading_drops_the_package_and_reloads_the_file(host: Any, opened: Any) -> None:
    before, source = package_modules(), sys.modules["KDSegmentation"]
    fresh = host.reload()
    assert fresh is not opened
    assert sys.modules["KDSegmentation"] is not source
    again = package_modules()
    assert again
    assert not any(again.get(name) is old for name, old in before.items())


def test_closing_the_scene_and_leaving_raise_nothing(host: Any, opened: Any) -> None:
    import slicer

    host.close_scene()
    slicer.util.selectModule("SegmentEditor")
    host.open()
    assert slicer.util.getModuleWidget("KDSegmentation") is opened
    assert not host.errors
