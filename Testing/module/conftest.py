"""The module on the host, with small models that segment the phantom in a moment."""

from __future__ import annotations

import ctypes
import importlib
import json
import pkgutil
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from KDSegmentationLogic import bundles, inference, scene, worker
from KDSegmentationLogic.scene import view
from Testing.SlicerHost.fixture import host as host


@pytest.fixture(scope="session", autouse=True)
def _package() -> None:
    """Import the package once: the host forgets what was first imported while it ran, and the
    helpers of the tests would go on with classes of their own."""
    pytest.importorskip("slicer", reason="needs slicer-core")
    for layer in (bundles, inference, scene, view, worker):
        for found in pkgutil.iter_modules(layer.__path__, layer.__name__ + "."):
            if not found.ispkg and not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    importlib.import_module("Testing.making")


@pytest.fixture(scope="session", autouse=True)
def _lasting_none() -> None:
    """Make None immortal, as it is from Python 3.12 on, which Slicer has.

    Some calls of PySide 6 take a reference to None and do not give it back (a scene that is
    closed costs 130 of them), and an older Python ends when there is none left.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 2**40


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests look for what is left in the temporary folder, which other programs use too."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models: a student, its ensemble and one for crops, all tiny."""
    from Testing.making import tiny_crop_student, tiny_ensemble, tiny_student

    folder = tmp_path / "models"
    tiny_student(folder / "Tiny-student", relative="Tiny-ensemble", title="Tiny student")
    tiny_ensemble(folder / "Tiny-ensemble", relative="Tiny-student", title="Tiny ensemble")
    tiny_crop_student(folder / "Tiny-crop", title="Tiny student for crops")
    monkeypatch.setenv("KDSEG_MODELS", str(folder))
    return folder


@pytest.fixture
def two_channels(models: Path) -> str:
    """A model that says it takes image and FLAIR; it is chosen in tests, never run."""
    folder = models / "Tiny-two"
    shutil.copytree(models / "Tiny-student", folder)
    path = folder / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    block = metadata["kdsegmentation"]
    block["title"] = "Tiny student of two channels"
    block["channels"].append({**block["channels"][0], "name": "FLAIR"})
    block["members"][0]["arguments"]["in_channels"] = 2
    path.write_text(json.dumps(metadata), encoding="utf-8")
    return "Tiny-two"


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models run in this process: starting a worker takes seconds."""
    from KDSegmentationLogic.scene.logic import SceneLogic

    monkeypatch.setattr(SceneLogic.__init__, "__defaults__", (False,))


@pytest.fixture
def panels(host: Any, models: Path, in_process: None) -> Any:  # noqa: ARG001
    """The opened module, which has the tiny student chosen and its licence accepted."""
    widget = host.open()
    ready(widget, "Tiny-student")
    return widget


def ready(widget: Any, model: str) -> None:
    """Choose a model and accept its licence; one thread, since tests share the cores."""
    widget.board.change(threads=1)
    widget.board.choose_model(model)
    widget.board.accept(True)


@pytest.fixture
def add_phantom() -> Callable[..., Any]:
    """Adds the phantom to the scene as a volume; returns its node."""

    def add(name: str = "Phantom", **geometry: Any) -> Any:
        from KDSegmentationLogic.scene.volumes import volume_from_image
        from Testing.making import phantom

        return volume_from_image(phantom(**geometry)[0], name)

    return add
