"""The check of brain models on heads without labels, on label maps that are known."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"White matter": 1, "Cortical grey matter": 2, "Basal ganglia and thalami": 3}


@pytest.fixture
def real_heads(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.real_heads")


def as_image(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetOrigin((-10.0, -10.0, 0.0))
    return image


@pytest.fixture
def head() -> np.ndarray:
    """Values 1 to 3 in blocks, z from 0 to 29 mm."""
    labels = np.zeros((30, 20, 20), np.uint8)
    labels[:, 4:16, 4:16] = 2
    labels[:, 6:14, 6:14] = 1
    labels[:, 9:11, 9:11] = 3
    return labels


def maps_of(labels: np.ndarray) -> dict[str, sitk.Image]:
    grey = np.isin(labels, (2, 3))
    return {
        "white matter": as_image((255 * (labels == 1)).astype(np.uint8)),
        "grey matter": as_image((200 * grey).astype(np.uint8)),
    }


def test_labels_made_from_the_tissue_maps_agree_with_them(
    real_heads: ModuleType, head: np.ndarray
) -> None:
    found = real_heads.against_tissue_maps(as_image(head), maps_of(head), NAMES)
    assert {tissue: row["dice"] for tissue, row in found.items()} == {
        "white matter": 1.0,
        "grey matter": 1.0,
    }


def test_what_lies_below_the_cerebrum_counts_for_nothing(
    real_heads: ModuleType, head: np.ndarray
) -> None:
    maps, wrong_below = maps_of(head), head.copy()
    wrong_below[:12] = 0
    found = real_heads.against_tissue_maps(as_image(wrong_below), maps, NAMES)
    assert found["white matter"]["dice"] == 1.0
    assert found["white matter"]["reference_ml"] == pytest.approx(18 * 60 / 1000)


def test_taking_grey_matter_for_white_lowers_both(real_heads: ModuleType, head: np.ndarray) -> None:
    swapped = np.where(head == 3, 1, head).astype(np.uint8)
    found = real_heads.against_tissue_maps(as_image(swapped), maps_of(head), NAMES)
    assert found["white matter"]["dice"] == pytest.approx(2 * 60 / (60 + 64))
    assert found["grey matter"]["dice"] == pytest.approx(2 * 80 / (80 + 84))


def test_contrasts_are_compared_structure_by_structure(
    real_heads: ModuleType, head: np.ndarray
) -> None:
    other = np.where(head == 3, 0, head).astype(np.uint8)
    labels = {"T1": as_image(head), "T2": as_image(head), "FLAIR": as_image(other)}
    found = real_heads.between_contrasts(labels, NAMES)
    assert list(found) == ["T1-T2", "T1-FLAIR", "T2-FLAIR"]
    assert set(found["T1-T2"].values()) == {1.0}
    assert found["T1-FLAIR"]["White matter"] == 1.0
    assert found["T1-FLAIR"]["Basal ganglia and thalami"] == 0.0


def test_a_structure_that_neither_contrast_has_is_no_agreement(
    real_heads: ModuleType, head: np.ndarray
) -> None:
    labels = {"T1": as_image(head), "T2": as_image(head)}
    found = real_heads.between_contrasts(labels, {**NAMES, "Brain stem": 5})
    assert found["T1-T2"]["Brain stem"] is None


def test_patients_are_found_by_their_contrasts(real_heads: ModuleType, tmp_path: Path) -> None:
    for name in ("patient07_T2", "patient07_T1", "patient07_seg", "patient26_T1"):
        (tmp_path / f"{name}.nii.gz").touch()
    found = real_heads.patients_in(tmp_path)
    assert list(found) == ["patient07"]  # of the other there is nothing to compare
    assert list(found["patient07"]) == ["T1", "T2"]


def test_a_model_that_finds_nothing_has_no_distance(
    real_heads: ModuleType, head: np.ndarray
) -> None:
    found = real_heads.against_tissue_maps(as_image(0 * head), maps_of(head), NAMES)
    assert found["white matter"]["dice"] == 0.0
    assert found["white matter"]["hd95"] is None
