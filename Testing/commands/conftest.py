"""Running a command in this process, and seeing what it said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from KDSegmentationLogic.commands.main import main
from KDSegmentationLogic.inference.cohort_manifest import MANIFEST
from Testing.imaging.conftest import dicom_file  # noqa: F401  (a fixture)
from Testing.making import phantom


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever models the user of this machine has, tests do not see them."""
    monkeypatch.setenv("KDSEG_MODELS", str(tmp_path_factory.mktemp("user") / "models"))


@pytest.fixture
def kdseg(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs ``kdseg`` with arguments of any type."""

    def run(*arguments: Any) -> Said:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return run


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The phantom's image as a file."""
    path = tmp_path / "phantom.nii.gz"
    sitk.WriteImage(phantom()[0], str(path))
    return path


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """A folder of three phantoms of different sizes."""
    folder = tmp_path / "cohort"
    folder.mkdir()
    for number, size in enumerate([(24, 20, 16), (20, 18, 14), (16, 16, 12)]):
        sitk.WriteImage(phantom(size)[0], str(folder / f"case{number}.nii.gz"))
    return folder


@pytest.fixture
def names_in() -> Callable[[Path], list[str]]:
    """All names in a folder but that of a cohort's manifest; none where it is not there."""

    def names(folder: Path) -> list[str]:
        if not folder.exists():
            return []
        return sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)

    return names
