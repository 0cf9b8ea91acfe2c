"""What Slicer's Python accepts and a desktop Qt or slicer-core also would, or would not.

Each rule reads the syntax tree and yields (line, what is wrong). They stand in for running
the module inside Slicer, which the tests cannot do.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from Testing.project.slicer_names import APPLICATION, CTK, ONE_QT_SIGNALS, QT, SLICER
from Testing.project.source_tree import dotted, imported_names

Fault = tuple[int, str]

WIDGET_LIBRARIES = ("qt.", "ctk.", "slicer.qMRML", "slicer.qSlicer")
FILE_SCOPE = {"qt", "ctk", "slicer", "vtk", "KDSegmentationLogic", "KDSegmentationPanels"}


KNOWN = {"qt": QT, "ctk": CTK, "slicer": SLICER, "slicer.app": APPLICATION}


def keyword_arguments(tree: ast.AST) -> Iterator[Fault]:
    """PythonQt takes no keyword arguments; PySide does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.keywords:
            name = dotted(node.func)
            if name.startswith(WIDGET_LIBRARIES):
                yield node.lineno, f"{name} is called with keyword arguments"


def utility_shortcuts(tree: ast.AST, utilities: set[str]) -> Iterator[Fault]:
    """``slicer.getNode`` exists in slicer-core, in Slicer only ``slicer.util.getNode`` does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            root, _, name = dotted(node).partition(".")
            if root == "slicer" and name in utilities:
                yield node.lineno, f"write slicer.util.{name}"
    for line, name in imported_names(tree):
        if name.startswith("slicer.") and name.removeprefix("slicer.") in utilities:
            yield line, f"import it from slicer.util: {name}"


def heavy_imports(tree: ast.AST) -> Iterator[Fault]:
    """Slicer imports every module when it starts, with or without torch installed."""
    for line, name in imported_names(tree, level="file"):
        root = name.split(".")[0]
        if root not in FILE_SCOPE and root not in sys.stdlib_module_names:
            yield line, f"imports {name} at file scope"


def defaulted_lambdas(tree: ast.AST) -> Iterator[Fault]:
    """PythonQt counts defaulted arguments as wanted and overwrites them with the signal's."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Lambda) and node.args.defaults):
            continue
        if not node.args.args[0].arg.startswith("_"):
            yield node.lineno, "a lambda's first argument takes the signal's: name it _"


def forgotten_modules(tree: ast.AST) -> Iterator[Fault]:
    """``imp`` has left Python 3.12, which Slicer has."""
    for line, name in imported_names(tree):
        if name.split(".")[0] == "imp":
            yield line, "imports imp"


def used_names(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """(line, name space, name) of what is taken from qt, ctk, slicer and slicer.app."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        space, _, name = dotted(node).rpartition(".")
        if space in KNOWN:
            yield node.lineno, space, name
    for line, name in imported_names(tree):
        space, _, name = name.partition(".")
        if space in ("qt", "ctk", "slicer") and name:
            yield line, space, name.split(".")[0]


def unknown_names(tree: ast.AST) -> Iterator[Fault]:
    """Names that are not written down as Slicer's; those of vtk classes are all known."""
    for line, space, name in used_names(tree):
        if name not in KNOWN[space] and not (space == "slicer" and name.startswith("vtk")):
            yield line, f"{space}.{name} is not in the list of Slicer's names"


def pyside_calls(tree: ast.AST) -> Iterator[Fault]:
    """Not every PythonQt has ``emit``; with Qt 5, Python 2's name of ``exec`` has stayed."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr == "emit":
            yield node.lineno, "call the signal instead of its emit"
        if node.func.attr == "exec":
            yield node.lineno, "write exec_"


def one_qts_signals(tree: ast.AST) -> Iterator[Fault]:
    """Slicer is built with Qt 5 and with Qt 6."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in ONE_QT_SIGNALS:
            yield node.lineno, f"{node.value}: {ONE_QT_SIGNALS[node.value]}"
