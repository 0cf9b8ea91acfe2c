"""Fixtures shared by all layers' tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from KDSegmentationLogic.bundles.bundle import Bundle


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Networks converted by tests, in child processes too, are not left with the user."""
    os.environ["KDSEG_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real labelled images named by ``KDSEG_DATA``; skips where there is none."""
    folder = os.environ.get("KDSEG_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real images: set KDSEG_DATA to the folder of the data sets")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def project_root() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def _bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def student_bundle(_bundle_folder: Path) -> Bundle:
    """A 3-D student that segments ``making.phantom``; read only, shared by all tests."""
    from Testing.making import tiny_student

    return tiny_student(_bundle_folder / "tiny-student")


@pytest.fixture(scope="session")
def ensemble_bundle(_bundle_folder: Path) -> Bundle:
    """A 3-D and two 2-D networks that segment ``making.phantom``; read only."""
    from Testing.making import tiny_ensemble

    return tiny_ensemble(_bundle_folder / "tiny-ensemble")


@pytest.fixture(scope="session")
def crop_bundle(_bundle_folder: Path) -> Bundle:
    """A student for crops round a structure; read only."""
    from Testing.making import tiny_crop_student

    return tiny_crop_student(_bundle_folder / "tiny-crop-student")


@pytest.fixture(scope="session")
def picture_bundle(_bundle_folder: Path) -> Bundle:
    """A student for 2-D pictures; read only."""
    from Testing.making import tiny_picture_student

    return tiny_picture_student(_bundle_folder / "tiny-picture-student")


@pytest.fixture
def kdseg(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs ``kdseg`` with arguments of any type."""

    from KDSegmentationLogic.commands.main import main

    def run(*arguments: Any) -> Said:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return run
