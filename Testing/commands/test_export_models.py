"""``kdseg export`` of whole models: with ONNX files in them, or in 8-bit integers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.commands import reduction
from KDSegmentationLogic.commands.inputs import Case
from KDSegmentationLogic.commands.reduction import AgreementError, reduce_bundle
from KDSegmentationLogic.inference.engines.estimate import facts_of_description
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.progress import Monitor
from Testing.making import phantom

PACKAGES = ("openvino", "nncf", "onnx", "onnxruntime")


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    found = []
    for n in range(4):
        path = tmp_path / "cases" / f"case{n}.nii"
        path.parent.mkdir(exist_ok=True)
        sitk.WriteImage(phantom()[0], str(path))
        found.append(Case(path.stem, (path,)))
    return found


def test_a_model_with_onnx_files_is_the_same_model_and_says_what_engines_ask(
    kdseg, student_bundle, tmp_path
) -> None:
    target = tmp_path / "with-onnx"
    assert kdseg("export", student_bundle.folder, "--to", "onnx-model", "-o", target).status == 0
    bundle = load_bundle(target)
    [member] = bundle.description.members
    assert bundle.onnx_path(member).is_file()
    assert member.footprint == facts_of_description(member).footprint
    assert not (student_bundle.folder / "models" / "model.onnx").exists()
    image, truth = phantom()
    labels = Predictor(bundle, Settings("cpu", threads=1)).segment([image]).labels
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), sitk.GetArrayFromImage(truth))


def test_8_bit_integers_need_cases_to_be_checked_on(kdseg, student_bundle, tmp_path) -> None:
    target = tmp_path / "int8"
    said = kdseg("export", student_bundle.folder, "--to", "int8", "-o", target)
    assert said.status == 2
    assert "--cases" in said.err
    assert not target.exists()


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES), reason="needs nncf"
)
def test_what_the_check_refuses_is_not_written(
    student_bundle, cases, tmp_path, monkeypatch
) -> None:
    """NNCF itself takes half a minute: a network that sees the second structure everywhere."""
    from KDSegmentationLogic.inference.engines import reduced
    from Testing.inference.test_reduced import all_second

    made = []

    def other(bundle, _, batches, path) -> None:
        made.append([batch.shape for batch in batches])
        all_second(bundle, path)

    monkeypatch.setattr(reduction, "quantise", other)
    assert set(reduced.PACKAGES) == set(PACKAGES)
    with pytest.raises(AgreementError, match="mean Dice of 0"):
        reduce_bundle(student_bundle, cases, "test", 0.9, tmp_path / "int8", Monitor())
    assert not (tmp_path / "int8").exists()
    assert len(made[0]) == 2  # every third of four


def test_slower_is_refused_however_well_it_agrees() -> None:
    with pytest.raises(AgreementError, match="take 2"):
        reduction._judge({"a": 1.0}, [1.0, 2.0], 0.9)
    reduction._judge({"a": 0.95}, [2.0, 1.0], 0.9)
