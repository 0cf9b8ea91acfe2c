"""The layers of the package and what each may know, read from the import statements."""

from __future__ import annotations

import ast
import sys

import pytest

from Testing.project.source_tree import (
    PACKAGE,
    ROOT,
    imported_names,
    module_name,
    parse,
    place,
    python_files,
)

GROUND = ("errors", "progress", "resources", "files", "dependencies", "child")
LAYERS = (
    "imaging",
    "networks",
    "bundles",
    "inference",
    "evaluation",
    "distillation",
    "training",
    "teachers",
    "studies",
    "worker",
    "scene",
    "commands",
)
SLICER = {"slicer", "vtk", "MRMLCorePython"}
QT = {"qt", "ctk", "PySide6", "PyQt5", "PyQt6"}
TORCH = {"torch", "monai", "lightning_fabric", "torchvision"}
# Beyond the order of the layers: outside packages that a layer must do without.
WITHOUT = dict.fromkeys(LAYERS, QT | SLICER) | {
    "imaging": QT | SLICER | TORCH,
    "evaluation": QT | SLICER | TORCH,
    "scene": QT | TORCH,
    "commands": QT,
}

FILES = python_files(PACKAGE)


def layer_of(name: str) -> str:
    """The part after the package's name; empty for the package itself."""
    return name.split(".")[1] if "." in name else ""


def forbidden(layer: str, imported: str) -> str | None:
    """Why ``layer`` must not import ``imported``; none where it may."""
    if imported.startswith("."):
        return "relative imports hide the layer"
    root = imported.split(".")[0]
    if layer in GROUND and root != PACKAGE and root not in sys.stdlib_module_names:
        return f"{layer} lies below all layers and uses the standard library only"
    if root in WITHOUT.get(layer, set()):
        return f"{layer} must do without {root}"
    if root != PACKAGE or layer in ("", "__main__"):
        return None
    other = layer_of(imported)
    if other in LAYERS and (layer in GROUND or LAYERS.index(other) > LAYERS.index(layer)):
        return f"{layer} comes before {other}"
    return None


def test_each_layer_imports_only_those_before_it() -> None:
    faults = []
    for path in FILES:
        layer = layer_of(module_name(path))
        for line, imported in imported_names(parse(path)):
            if reason := forbidden(layer, imported):
                faults.append(f"{place(path, line)} imports {imported}: {reason}")
    assert not faults, "\n".join(faults)


def test_every_part_of_the_package_belongs_to_a_known_layer() -> None:
    parts = {path.name for path in (ROOT / PACKAGE).iterdir() if any(path.glob("*.py"))}
    parts |= {path.stem for path in (ROOT / PACKAGE).glob("*.py")}
    assert parts - {"__init__", "__main__"} <= set(GROUND) | set(LAYERS)


def test_init_files_import_nothing() -> None:
    faults = [
        f"{place(path, line)} imports {imported}"
        for path in FILES
        if path.name == "__init__.py"
        for line, imported in imported_names(parse(path))
        if not imported.startswith("__future__")
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("layer", "statement"),
    [
        ("imaging", "import torch"),
        ("imaging", "def f():\n    from KDSegmentationLogic.inference import predict"),
        ("errors", "from KDSegmentationLogic import imaging"),
        ("files", "import numpy"),
        ("worker", "from KDSegmentationLogic.scene.logic import SceneLogic"),
        ("scene", "import qt"),
        ("training", "from ..imaging import read"),
    ],
)
def test_the_rule_sees_an_import_that_breaks_it(layer: str, statement: str) -> None:
    ((_, imported),) = imported_names(ast.parse(statement))
    assert forbidden(layer, imported)


@pytest.mark.parametrize(
    ("layer", "statement"),
    [
        ("inference", "from KDSegmentationLogic.imaging.grid import Grid"),
        ("scene", "import slicer"),
        ("errors", "import json"),
        ("__main__", "from KDSegmentationLogic.commands.main import main"),
    ],
)
def test_the_rule_lets_an_honest_import_pass(layer: str, statement: str) -> None:
    ((_, imported),) = imported_names(ast.parse(statement))
    assert forbidden(layer, imported) is None
