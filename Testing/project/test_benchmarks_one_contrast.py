"""Students beside their teacher on heads without labels, on label maps that are known."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"White matter": 1, "Lesion": 2}


@pytest.fixture
def one_contrast(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.one_contrast")


def as_image(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing((2.0, 2.0, 2.0))
    return image


def test_a_student_is_held_against_what_its_teacher_says(one_contrast: ModuleType) -> None:
    teacher = np.ones((10, 10, 10))
    student = np.where(np.arange(10) < 5, teacher, 0)
    found = one_contrast.beside_teacher(as_image(teacher), {"t1": as_image(student)}, NAMES)

    assert found["teacher"]["White matter"] == {"volume_ml": 8.0}
    assert found["t1"]["White matter"] == {"dice": pytest.approx(2 / 3), "volume_ml": 4.0}
    assert found["t1"]["Lesion"] == {"dice": None, "volume_ml": 0.0}


def test_a_models_contrasts_are_found_in_its_own_order(one_contrast: ModuleType) -> None:
    files = {name: Path(f"p_{name}.nii.gz") for name in ("T1", "T1POST", "T2", "FLAIR")}
    found = one_contrast.files_of(["FLAIR", "T1CE"], files, "p")

    assert found == [files["FLAIR"], files["T1POST"]]


def test_a_patient_without_a_models_contrast_is_named(one_contrast: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"p lacks T1CE\."):
        one_contrast.files_of(["T1", "T1CE"], {"T1": Path("p_T1.nii.gz")}, "p")


def test_the_table_has_the_teachers_volumes_alone(one_contrast: ModuleType) -> None:
    whole = as_image(np.ones((5, 5, 5)))
    found = {"p": one_contrast.beside_teacher(whole, {"t1": whole}, NAMES)}

    lines = one_contrast.as_markdown(found, "all-contrasts").splitlines()
    assert "| teacher | (1.0) | (0.0) |" in lines
    assert "| t1 | 1.000 (1.0) | (0.0) |" in lines
