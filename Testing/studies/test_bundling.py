"""The voxels on which a bundle's temperature is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.decoding import decode
from KDSegmentationLogic.evaluation.calibration import near_structures
from KDSegmentationLogic.evaluation.temperature import Fitted
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.studies import bundling
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Study
from KDSegmentationLogic.training.dataset import CaseFiles, Dataset
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
