"""Which models are installed, and finding one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from KDSegmentationLogic import resources
from KDSegmentationLogic.bundles import catalogue
from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.bundles.paths import path_problem
from KDSegmentationLogic.bundles.transfer import export_zip
from KDSegmentationLogic.errors import BundleError


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the models that come with the package."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "models_folder", lambda: folder)
    return folder


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, which does not exist yet."""
    folder = tmp_path / "users"
    monkeypatch.setenv("KDSEG_MODELS", str(folder))
    return folder


def test_nothing_is_listed_where_nothing_is_installed(bundled: Path, users: Path) -> None:
    assert bundled.is_dir()
    assert not users.exists()
    assert catalogue.list_bundles() == ([], [])


def test_models_of_both_places_are_listed_by_name(
    bundled: Path, users: Path, student: Path
) -> None:
    shutil.copytree(student, bundled / "b")
    shutil.copytree(student, users / "a")
    assert [bundle.name for bundle in catalogue.installed_bundles()] == ["a", "b"]


def test_a_broken_model_does_not_hide_the_others(bundled: Path, users: Path, student: Path) -> None:
    shutil.copytree(student, bundled / "good")
    (users / "bad").mkdir(parents=True)
    good, problems = catalogue.list_bundles()
    assert [bundle.name for bundle in good] == ["good"]
    assert [str(users / "bad") in problem.cause for problem in problems] == [True]


@pytest.mark.parametrize("error", [ValueError("odd"), RecursionError("too deep")])
def test_a_model_that_fails_unforeseen_does_not_hide_the_others(
    bundled: Path, users: Path, student: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    shutil.copytree(student, bundled / "good")
    (users / "bad").mkdir(parents=True)

    def load(folder: Path, verify: bool) -> Bundle:
        if folder.name == "bad":
            raise error
        return load_bundle(folder, verify)

    monkeypatch.setattr(catalogue, "load_bundle", load)
    good, problems = catalogue.list_bundles()
    assert [bundle.name for bundle in good] == ["good"]
    assert [str(users / "bad") in problem.cause for problem in problems] == [True]


def test_a_clone_without_models_lists_the_users_and_says_what_is_missing(
    users: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "clone" / "KDSegmentationLogic")
    shutil.copytree(student, users / "mine")
    good, problems = catalogue.list_bundles()
    assert [bundle.name for bundle in good] == ["mine"]
    assert ["Resources/Models is missing" in problem.cause for problem in problems] == [True]


def test_a_clone_without_models_uses_a_model_by_its_path(
    users: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "clone" / "KDSegmentationLogic")
    assert not users.exists()
    assert catalogue.find_bundle(student).folder == student
    with pytest.raises(BundleError, match="No model is called 'heart'"):
        catalogue.find_bundle("heart")


def test_unfinished_writing_is_not_listed(bundled: Path, users: Path, student: Path) -> None:
    assert bundled.is_dir()
    shutil.copytree(student, users / ".writing-x" / "tiny")
    assert catalogue.list_bundles() == ([], [])


def test_the_users_model_stands_before_a_bundled_one_of_its_name(
    bundled: Path, users: Path, student: Path
) -> None:
    shutil.copytree(student, bundled / "tiny")
    shutil.copytree(student, users / "tiny")
    assert catalogue.find_bundle("tiny").folder == users / "tiny"
    assert len(catalogue.installed_bundles()) == 1


def test_a_model_is_found_by_the_path_of_its_folder(
    bundled: Path, users: Path, student: Path
) -> None:
    assert not list(bundled.iterdir())
    assert not users.exists()
    assert catalogue.find_bundle(student).folder == student


def test_an_unknown_name_is_refused_with_the_installed_ones(
    bundled: Path, users: Path, student: Path
) -> None:
    shutil.copytree(student, bundled / "b")
    shutil.copytree(student, users / "a")
    with pytest.raises(BundleError, match=r"No model is called 'heart'.*\(a, b\)"):
        catalogue.find_bundle("heart")


def test_a_zip_is_refused_with_the_command_that_imports_it(
    bundled: Path, users: Path, student: Path
) -> None:
    assert not users.exists()
    path = export_zip(catalogue.find_bundle(student), bundled.parent / "tiny.zip")
    with pytest.raises(BundleError, match=r"kdseg models import .*tiny\.zip"):
        catalogue.find_bundle(path)


def test_finding_a_model_checks_its_weights_unless_told_not_to(
    bundled: Path, users: Path, student: Path
) -> None:
    assert not users.exists()
    folder = Path(shutil.copytree(student, bundled / "tiny"))
    path = folder / "models/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(BundleError, match="another SHA-256"):
        catalogue.find_bundle("tiny")
    assert catalogue.find_bundle("tiny", verify=False).name == "tiny"


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("win32", "LOCALAPPDATA", "place/KDSegmentation/Models"),
        ("linux", "XDG_DATA_HOME", "place/KDSegmentation/Models"),
        ("win32", None, "home/AppData/Local/KDSegmentation/Models"),
        ("linux", None, "home/.local/share/KDSegmentation/Models"),
        ("darwin", None, "home/Library/Application Support/KDSegmentation/Models"),
    ],
)
def test_each_system_has_its_own_place_for_the_users_models(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    platform: str,
    variable: str | None,
    expected: str,
) -> None:
    for name in ("KDSEG_MODELS", "LOCALAPPDATA", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "place"))
    monkeypatch.setattr(catalogue.sys, "platform", platform)
    monkeypatch.setattr(catalogue.Path, "home", lambda: tmp_path / "home")
    assert catalogue.user_models_folder() == tmp_path / expected


@given(st.text(alphabet="aZ9._-+() /\\:\0~*é", min_size=1, max_size=30))
def test_an_accepted_path_stays_inside_on_every_system(path: str) -> None:
    if path_problem(path) is None:
        for kind in (PurePosixPath, PureWindowsPath):
            assert not kind(path).anchor
            assert kind(path).parts == tuple(path.split("/"))
            assert not set(kind(path).parts) & {"..", "."}


def run(script: str, root: Path, models: Path, *flags: str) -> Any:
    """The JSON that a script prints in a fresh interpreter."""
    result = subprocess.run(
        [sys.executable, *flags, "-c", script],
        cwd=root,
        env={**os.environ, "KDSEG_MODELS": str(models)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def test_listing_verifying_and_packing_load_neither_torch_nor_numpy(
    student: Path, tmp_path: Path, project_root: Path
) -> None:
    script = f"""
import json, sys
from KDSegmentationLogic.bundles import catalogue, transfer, bundle
names = [found.name for found in catalogue.installed_bundles()]
transfer.export_zip(catalogue.find_bundle("tiny"), {str(tmp_path / "t.zip")!r})
heavy = {{"torch", "numpy", "monai", "safetensors", "SimpleITK", "vtk", "slicer"}}
print(json.dumps([sorted(heavy & set(sys.modules)), "tiny" in names]))
"""
    assert run(script, project_root, student.parent) == [[], True]


def test_importing_works_with_the_standard_library_alone(
    student: Path, tmp_path: Path, project_root: Path
) -> None:
    script = f"""
import importlib.util, json
from KDSegmentationLogic.bundles import transfer
imported = transfer.import_bundle({str(student)!r})
print(json.dumps([importlib.util.find_spec("torch") is None, imported.name]))
"""
    # -S: without the packages that are installed
    assert run(script, project_root, tmp_path / "models", "-S") == [True, "tiny"]
