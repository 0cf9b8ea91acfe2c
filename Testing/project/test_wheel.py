"""A wheel carries the package with its models, and needs nothing to list them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from Testing.project.source_tree import PACKAGE, ROOT

LIST_MODELS = """
import sys
sys.path.insert(0, sys.argv[1])
from KDSegmentationLogic.resources import models_folder
print(models_folder())
print("\\n".join(sorted(path.name for path in models_folder().iterdir())))
"""


def models_listed_from(folder: Path) -> tuple[Path, list[str]]:
    """The models folder and its content, as the package in ``folder`` finds them.

    ``-I -S`` leaves this environment's packages out, the installed source tree among them;
    ``-B`` leaves the folder as it is.
    """
    command = [sys.executable, "-I", "-S", "-B", "-c", LIST_MODELS, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    where, *names = run.stdout.splitlines()
    return Path(where), names


def bundled_models() -> list[str]:
    return sorted(path.name for path in (ROOT / "Resources" / "Models").iterdir())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of a wheel, built from a copy so that nothing is left in the source tree."""
    source = tmp_path_factory.mktemp("wheel") / "source"
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in (PACKAGE, "Resources"):
        shutil.copytree(ROOT / folder, source / folder, ignore=ignore)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE.txt"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, source)
    options = ["--quiet", "--no-build-isolation", "--no-deps", "--wheel-dir", str(source.parent)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (archive,) = source.parent.glob("*.whl")
    content = source.parent / "content"
    with zipfile.ZipFile(archive) as file:
        file.extractall(content)
    return content


def test_a_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    def sources(root: Path) -> set[str]:
        return {p.relative_to(root).as_posix() for p in (root / PACKAGE).rglob("*.py")}

    assert sources(wheel) == sources(ROOT)


def test_a_wheel_holds_models_and_studies_and_no_other_resource(wheel: Path) -> None:
    def carried(root: Path) -> set[str]:
        folders = (root / "Models", root / "Studies")
        return {
            path.relative_to(root).as_posix()
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file()
        }

    inside = wheel / PACKAGE / "Resources"
    assert carried(inside) == carried(ROOT / "Resources")
    assert {path.name for path in inside.iterdir()} <= {"Models", "Studies"}


def test_models_are_found_from_a_wheel(wheel: Path) -> None:
    where, names = models_listed_from(wheel)
    assert where.resolve().is_relative_to((wheel / PACKAGE).resolve())
    assert names == bundled_models()


def test_a_wheel_brings_the_licence(wheel: Path) -> None:
    (licence,) = wheel.glob("*.dist-info/licenses/LICENSE.txt")
    assert "Apache License" in licence.read_text(encoding="utf-8")
