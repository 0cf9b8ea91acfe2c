"""What commands are run on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk

from KDSegmentationLogic.inference.cohort_manifest import MANIFEST
from Testing.imaging.conftest import dicom_file  # noqa: F401  (a fixture)
from Testing.making import phantom


@pytest.fixture(autouse=True)
def _own_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever models the user of this machine has, tests do not see them."""
    monkeypatch.setenv("KDSEG_MODELS", str(tmp_path_factory.mktemp("user") / "models"))


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
