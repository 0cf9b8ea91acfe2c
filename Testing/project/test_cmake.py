"""The extension is configured, built, installed and packaged, with a stand-in for Slicer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from Testing.project.source_tree import PACKAGE, ROOT
from Testing.project.test_wheel import bundled_models, models_listed_from

MODULES = "lib/Slicer-5.13/qt-scripted-modules"

FOUND = """
import importlib.util
import KDSegmentationLogic
print(KDSegmentationLogic.__file__)
print(importlib.util.find_spec("Testing"))
"""


def tool(name: str) -> str:
    """CMake's programs come with pip, beside the interpreter, or with the system."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=os.pathsep.join((beside, os.environ.get("PATH", ""))))
    assert found, f"{name} is missing: pip install cmake"
    return found


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )


def configure(source: Path, build: Path) -> subprocess.CompletedProcess[str]:
    return run(tool("cmake"), "-S", source, "-B", build, f"-DSlicer_DIR={source}/Testing/CMake")


@pytest.fixture(scope="module", autouse=True)
def compiler() -> None:
    """``project()`` looks for a C compiler, as every extension of Slicer does."""
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang", "cl")):
        pytest.skip("needs a C compiler")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extension") / "build"
    for step in (configure(ROOT, folder), run(tool("cmake"), "--build", folder)):
        assert step.returncode == 0, step.stdout + step.stderr
    return folder


@pytest.fixture(scope="module")
def installed(build: Path) -> Path:
    prefix = build.parent / "installed"
    step = run(tool("cmake"), "--install", build, "--prefix", prefix)
    assert step.returncode == 0, step.stdout + step.stderr
    return prefix / MODULES


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A small copy of what configuring reads, to be damaged; resources are empty files."""
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("KDSegmentation", PACKAGE, "Testing/CMake"):
        shutil.copytree(ROOT / folder, source / folder, ignore=ignore)
    shutil.copy(ROOT / "CMakeLists.txt", source)
    for part in ("Models", "Studies"):
        for path in (ROOT / "Resources" / part).rglob("*.*"):
            empty = source / path.relative_to(ROOT)
            empty.parent.mkdir(parents=True, exist_ok=True)
            empty.touch()
    return source


def write_short_study(folder: Path) -> str:
    """A data set and a study of it with one teacher of two steps; that one's name."""
    yaml = pytest.importorskip("yaml", reason="needs the extra train")
    pytest.importorskip("lightning_fabric", reason="needs the extra train")
    from Testing.studies.made_study import write_dataset, write_study

    write_dataset(folder / "Task99_Made")
    path = folder / "study.yaml"
    write_study(path)
    content = yaml.safe_load(path.read_text("utf-8"))
    teacher = content["teachers"][0]
    teacher["schedule"] |= {"steps": 2, "warmup": 1, "validate_every": 2, "batch": 2}
    path.write_text(yaml.safe_dump({**content, "teachers": [teacher]}), "utf-8")
    return teacher["name"]


def files_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_the_list_of_sources_is_up_to_date() -> None:
    check = run(sys.executable, ROOT / "Testing" / "CMake" / "list_sources.py", "--check")
    assert check.returncode == 0, check.stdout + check.stderr


def test_the_install_tree_has_the_module_the_package_and_its_resources(installed: Path) -> None:
    expected = {f"{PACKAGE}/{n}" for n in files_below(ROOT / PACKAGE) if n.endswith(".py")}
    for part in ("Models", "Studies"):
        folder = ROOT / "Resources" / part
        expected |= {f"{PACKAGE}/Resources/{part}/{name}" for name in files_below(folder)}
    module = ROOT / "KDSegmentation"
    expected |= {n for n in files_below(module) if n.endswith(".py") or n.startswith("Resources/")}
    expected = {name for name in expected if "__pycache__" not in name}
    assert files_below(installed) == expected


def test_models_are_found_from_the_install_tree(installed: Path) -> None:
    where, names = models_listed_from(installed)
    assert where.resolve().is_relative_to((installed / PACKAGE).resolve())
    assert names == bundled_models()


def test_a_study_runs_from_the_install_tree(installed: Path, tmp_path: Path) -> None:
    """With a plain interpreter, to which the source tree and its tests are unknown."""
    teacher = write_short_study(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}

    def python(*arguments: str | Path) -> str:
        command = [sys.executable, *map(str, arguments)]
        step = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert step.returncode == 0, step.stdout + step.stderr
        return step.stdout

    seen = python("-c", FOUND).splitlines()
    places = ("study.yaml", "--data", tmp_path, "-o", "run")
    python("-m", PACKAGE, "study", "run", *places, "--until", "teachers", "--quiet")

    assert Path(seen[0]).samefile(installed / PACKAGE / "__init__.py")
    assert seen[1] == "None"
    (trained,) = (tmp_path / "run" / "arms").glob("*/weights.safetensors")
    assert trained.parent.name.startswith(f"{teacher}-")


def test_the_package_for_the_extensions_manager_has_the_release_layout(
    build: Path, installed: Path, tmp_path: Path
) -> None:
    step = run(tool("cpack"), "--config", build / "CPackConfig.cmake", "-B", tmp_path)
    assert step.returncode == 0, step.stdout + step.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {Path(m.name).as_posix().split("/", 1)[1] for m in file if m.isfile()}
    assert {f"{MODULES}/{name}" for name in files_below(installed)} <= names


def test_a_module_file_that_no_list_names_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "KDSegmentation" / "Forgotten.py").touch()
    step = configure(copy, tmp_path / "build")
    assert step.returncode != 0
    assert "'Forgotten.py' is in no list" in step.stderr.replace("\n", " ")


def test_a_package_file_that_no_list_names_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / PACKAGE / "imaging" / "forgotten.py").touch()
    step = configure(copy, tmp_path / "build")
    assert step.returncode != 0
    assert f"{PACKAGE}/imaging/forgotten.py" in step.stderr


def test_a_listed_file_that_is_missing_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / PACKAGE / "errors.py").unlink()
    step = configure(copy, tmp_path / "build")
    assert step.returncode != 0
    assert f"{PACKAGE}/errors.py" in step.stderr


def test_an_extension_without_a_description_is_refused(copy: Path, tmp_path: Path) -> None:
    path = copy / "CMakeLists.txt"
    path.write_text(
        path.read_text(encoding="utf-8").replace("EXTENSION_DESCRIPTION", "OTHER"), encoding="utf-8"
    )
    step = configure(copy, tmp_path / "build")
    assert step.returncode != 0
    assert "EXTENSION_DESCRIPTION is empty" in step.stderr
