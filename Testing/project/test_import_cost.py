"""Importing the package, listing models and asking for help must cost next to nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

from Testing.project.source_tree import PACKAGE, ROOT, module_name, parse, python_files

CLAIM = "standard library only"
HEAVY = {
    "torch",
    "monai",
    "vtk",
    "vtkmodules",
    "slicer",
    "SimpleITK",
    "numpy",
    "scipy",
    "matplotlib",
    "openvino",
    "onnxruntime",
}
LOADED = """
import sys
before = set(sys.modules)
import importlib, json
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
"""


def loaded_by(module: str) -> set[str]:
    """The top-level names that importing ``module`` adds in a fresh interpreter."""
    command = [sys.executable, "-c", LOADED, module]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def light_modules() -> list[str]:
    """The package, and each module whose docstring promises the standard library only."""
    claims = [
        module_name(path)
        for path in python_files(PACKAGE)
        if CLAIM in (ast.get_docstring(parse(path)) or "").lower().replace("\n", " ")
    ]
    return sorted({PACKAGE, *claims})


@pytest.mark.parametrize("module", light_modules())
def test_a_module_that_promises_the_standard_library_keeps_it(module: str) -> None:
    assert loaded_by(module) - set(sys.stdlib_module_names) <= {PACKAGE}


def test_the_command_line_starts_without_heavy_packages() -> None:
    assert not loaded_by(f"{PACKAGE}.commands.main") & HEAVY


def test_the_promise_is_made_where_the_gui_and_help_depend_on_it() -> None:
    promised = set(light_modules())
    assert {f"{PACKAGE}.{name}" for name in ("errors", "progress", "resources")} <= promised
    assert any(name.startswith(f"{PACKAGE}.bundles.") for name in promised)
