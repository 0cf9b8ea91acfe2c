"""The module's files keep to the Python and Qt that Slicer has."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from Testing.project import dialect
from Testing.project.source_tree import parse, place, python_files
from Testing.SlicerHost.fixture import started

slicer = pytest.importorskip("slicer", reason="needs slicer-core")


@pytest.fixture(scope="module")
def utilities() -> set[str]:
    """Names of the functions and classes that ``slicer.util`` itself defines."""
    import slicer.util

    return {
        name
        for name, value in vars(slicer.util).items()
        if getattr(value, "__module__", None) == "slicer.util" and not name.startswith("_")
    }


def faults(tree: ast.AST, utilities: set[str]) -> Iterator[dialect.Fault]:
    yield from dialect.keyword_arguments(tree)
    yield from dialect.utility_shortcuts(tree, utilities)
    yield from dialect.heavy_imports(tree)
    yield from dialect.defaulted_lambdas(tree)
    yield from dialect.forgotten_modules(tree)
    yield from dialect.unknown_names(tree)
    yield from dialect.pyside_calls(tree)
    yield from dialect.one_qts_signals(tree)


def test_the_module_speaks_slicers_dialect(utilities: set[str]) -> None:
    found = [
        f"{place(path, line)} {fault}"
        for path in python_files("KDSegmentation")
        for line, fault in faults(parse(path), utilities)
    ]
    assert not found, "\n".join(found)


def test_the_scene_layer_takes_no_shortcut_that_slicer_lacks(utilities: set[str]) -> None:
    found = [
        f"{place(path, line)} {fault}"
        for path in python_files("KDSegmentationLogic/scene")
        for line, fault in dialect.utility_shortcuts(parse(path), utilities)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "qt.QLabel(text='a')",
        "slicer.qMRMLNodeComboBox(parent=p)",
        "slicer.getNode('a')",
        "from slicer import arrayFromVolume",
        "import torch",
        "try:\n    import monai\nexcept ImportError:\n    monai = None",
        "class A:\n    import SimpleITK",
        "button.clicked.connect(lambda i=i: f(i))",
        "import imp",
        "qt.QRegExp('a')",
        "qt.Signal(int)",
        "from qt import Signal",
        "ctk.ctkNotThere()",
        "slicer.qMRMLNotThere(p)",
        "slicer.app.restart()",
        "button.clicked.emit()",
        "dialog.exec()",
        "combo.connect('currentIndexChanged(QString)', f)",
    ],
)
def test_a_slip_into_another_dialect_is_seen(code: str, utilities: set[str]) -> None:
    assert list(faults(ast.parse(code), utilities))


@pytest.mark.parametrize(
    "code",
    [
        "label = qt.QLabel('a')",
        "slicer.util.getNode('a')",
        "slicer.util.loadVolume(p, properties={})",
        "slicer.mrmlScene.AddNode(n)",
        "def f():\n    import torch",
        "button.clicked.connect(lambda _=0, i=i: f(i))",
        "button.clicked()",
        "dialog.exec_()",
        "combo.connect('currentIndexChanged(int)', f)",
        "slicer.vtkMRMLScene()",
        "slicer.app.layoutManager()",
        "from slicer.i18n import tr as _",
    ],
)
def test_slicers_dialect_passes(code: str, utilities: set[str]) -> None:
    assert not list(faults(ast.parse(code), utilities))


def test_the_host_has_every_name_that_the_module_may_use(tmp_path: Path) -> None:
    with started(tmp_path):
        import ctk
        import qt
        import slicer

        spaces = {"qt": qt, "ctk": ctk, "slicer": slicer, "slicer.app": slicer.app}
        missing = [
            f"{space}.{name}"
            for space, names in dialect.KNOWN.items()
            for name in sorted(names)
            if not has(spaces[space], name)
        ]
    assert not missing


def has(space: object, name: str) -> bool:
    try:
        getattr(space, name)
    except AttributeError:
        return False
    return True
