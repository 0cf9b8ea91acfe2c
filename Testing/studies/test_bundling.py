"""Which networks become bundles, what these name to compare with, and their temperature."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.decoding import decode
from KDSegmentationLogic.evaluation.calibration import near_structures
from KDSegmentationLogic.evaluation.temperature import Fitted
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies import bundling
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Study
from KDSegmentationLogic.training.dataset import CaseFiles, Dataset
from Testing.studies.made_results import keep_networks
from Testing.studies.made_study import CONTENT

SPACING = (1.0, 1.0, 3.0)


def write_ball(folder: Path) -> tuple[Dataset, np.ndarray]:
    """One validation case, of thick slices, and its labels."""
    labels = (np.linalg.norm(np.indices((16, 16, 16)).T - 8, axis=-1) < 3).astype(np.uint8)
    paths = []
    for kind, array in (("image", labels.astype("f4")), ("labels", labels)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(SPACING)
        paths.append(folder / f"{kind}.nii.gz")
        sitk.WriteImage(image, str(paths[-1]))
    cases = {"ball": CaseFiles("ball", (paths[0],), paths[1])}
    return Dataset("Task99_Made", folder, ("T1",), {1: "ball"}, cases, {"val": ("ball",)}), labels


def test_the_margin_is_in_millimetres_of_each_case_where_the_grid_has_no_spacing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, labels = write_ball(tmp_path)
    study = decode(Study, {**CONTENT, "grid": {"dimensions": 3}}, "study")
    arm = study.arm("volume")
    fitted: list[np.ndarray] = []

    def fit(_members: object, truth: np.ndarray) -> Fitted:
        fitted.append(truth)
        return Fitted(1.0, 0.0, 0.0)

    monkeypatch.setattr(bundling, "fit_temperature", fit)
    network = build_network(arm.architecture, arm.arguments).eval()
    folder = RunFolder(tmp_path / "run", study)
    bundling.common_temperature(study, dataset, folder, [arm], [network])

    near = near_structures(labels, SPACING[::-1], study.evaluation.foreground_margin)
    (truth,) = fitted
    assert truth.size == near.sum()


def written(
    root: Path, monkeypatch: pytest.MonkeyPatch, *trained: str, **more: Any
) -> dict[str, str | None]:
    """Each bundle's relative, of the study with these networks trained and ``more`` in it."""
    monkeypatch.setattr(bundling, "common_temperature", lambda *_: Fitted(1.0, 0.0, 0.0))
    dataset, _ = write_ball(root)
    study = decode(Study, {**copy.deepcopy(CONTENT), **more}, "study")
    folder = RunFolder(root / "run", study)
    keep_networks(folder, *trained)
    bundles = bundling.write_bundles(study, dataset, folder, Monitor())
    return {bundle.folder.name: bundle.description.relative for bundle in bundles}


def pairs() -> list[dict[str, Any]]:
    """A student of each teacher."""
    (student,) = copy.deepcopy(CONTENT["students"])
    del student["seed"]
    return [{**student, "seeds": [1, 2], "distils": {"ensemble": "both", "paired": True}}]


BOTH = {"name": "both", "members": ["slices", "volume"]}


def test_of_an_ensemble_without_one_of_its_members_each_trained_one_is_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = written(tmp_path, monkeypatch, "volume", "student")

    assert list(found) == ["Ball-student", "Ball-volume"]


def test_the_relative_of_a_student_of_one_member_is_the_bundle_of_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensembles = [BOTH, {"name": "alone", "members": ["volume"]}]
    trained = ("slices", "volume", "student-s1", "student-s2")
    found = written(tmp_path, monkeypatch, *trained, ensembles=ensembles, students=pairs())

    assert found == {
        "Ball-both": None,
        "Ball-alone": "Ball-student-s2",
        "Ball-student-s1": None,
        "Ball-student-s2": "Ball-alone",
    }


def test_the_relatives_of_an_ensemble_and_its_student_are_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = written(tmp_path, monkeypatch, "slices", "volume", "student")

    assert found == {"Ball-ensemble": "Ball-student", "Ball-student": "Ball-ensemble"}
