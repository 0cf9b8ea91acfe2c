"""What the code imports is declared, and what is declared is pinned."""

from __future__ import annotations

import re
import sys
from importlib.metadata import packages_distributions

from Testing.project.source_tree import (
    PACKAGE,
    ROOT,
    imported_names,
    parse,
    place,
    python_files,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Slicer's own names, which no distribution of that name provides; and what is declared as the
# extra of another package.
PROVIDED = {
    **{"slicer": "slicer-core", "vtk": "slicer-core", "vtkmodules": "slicer-core"},
    "distributed": "dask",
}


def canonical(requirement: str) -> str:
    """The name in "Name[extra]>=1.0; marker" as package indexes compare it."""
    name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def project() -> dict[str, list[str]]:
    """The requirements by extra, the project's own under an empty name."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": content["dependencies"], **content["optional-dependencies"]}


def declared(*extras: str) -> set[str]:
    names = {canonical(line) for extra in extras for line in project()[extra]}
    return names - {"kdsegmentation"}


def pinned() -> set[str]:
    lines = []
    for name in ("requirements-torch.txt", "requirements.txt"):
        lines += (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {canonical(line) for line in lines if line and not line.startswith("#")}


def test_every_package_that_the_code_imports_is_declared() -> None:
    known = declared(*project())
    providers = packages_distributions()
    faults = []
    for path in python_files(PACKAGE):
        for line, name in imported_names(parse(path)):
            root = name.split(".")[0]
            if root in sys.stdlib_module_names or root == PACKAGE:
                continue
            names = {canonical(n) for n in [PROVIDED.get(root, root), *providers.get(root, [])]}
            if not names & known:
                faults.append(f"{place(path, line)} imports {root}, which pyproject does not name")
    assert not faults, "\n".join(faults)


def test_what_the_demo_and_the_tests_need_is_pinned() -> None:
    assert declared("", "train", "slicer", "demo", "dev") <= pinned()


def test_every_pin_is_exact() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if "==" not in line.split(";")[0]] == []
