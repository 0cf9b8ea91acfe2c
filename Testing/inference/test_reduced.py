"""Reduced precision, run only with its check; ONNX files, for which torch is not needed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.bundles.description import NO_SUM, Reduced, StoredFile
from KDSegmentationLogic.bundles.writing import update_bundle
from KDSegmentationLogic.errors import BundleError, DeviceError
from KDSegmentationLogic.inference.engines import conversion
from KDSegmentationLogic.inference.engines.estimate import Logits
from KDSegmentationLogic.inference.engines.facts import facts_of_member
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.networks.registry import build_network
from Testing.making import phantom, tiny_student

CHECK = Reduced(
    precision="int8",
    file=StoredFile("models/model.int8.onnx", NO_SUM),
    bound=0.99,
    agreement={"anterior": 0.995, "posterior": 0.992},
    least={"anterior": 0.98, "posterior": 0.97},
    data="a test",
    cases=3,
    seconds=1.0,
    seconds_full=2.0,
    hardware="none",
)


def all_second(bundle: Bundle, path: Path) -> Path:
    """An ONNX file that calls all voxels the second structure: told from the true network."""
    member = bundle.description.members[0]
    network = build_network(member.architecture, member.arguments).eval()
    torch.nn.init.zeros_(network.classifier.weight)
    with torch.no_grad():
        network.classifier.bias.copy_(torch.tensor([0.0, 0.0, 9.0]))  # type: ignore[union-attr]
    path.write_bytes(conversion.to_onnx(Logits(network)))
    return path


@pytest.fixture
def reduced_bundle(tmp_path: Path) -> Bundle:
    bundle = tiny_student(tmp_path / "plain")
    member = replace(bundle.description.members[0], reduced=CHECK)
    files = {CHECK.file.path: all_second(bundle, tmp_path / "graph.onnx")}
    described = replace(bundle.description, members=(member,))
    return update_bundle(bundle, described, files, tmp_path / "reduced")


def test_without_a_check_reduced_precision_is_refused_in_one_sentence(
    student_bundle: Bundle,
) -> None:
    with pytest.raises(DeviceError, match="no network in reduced precision") as caught:
        Predictor(student_bundle, Settings(precision="reduced"))
    assert "--to int8" in caught.value.remedy


def test_a_check_below_its_bound_is_no_check() -> None:
    with pytest.raises(ValueError, match="below the bound"):
        replace(CHECK, agreement={"anterior": 0.98, "posterior": 1.0})


def test_the_reduced_network_runs_where_it_is_asked_for_and_only_there(
    reduced_bundle: Bundle,
) -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("needs openvino")
    image, truth = phantom()
    found = {}
    for precision in ("full", "reduced"):
        settings = Settings("cpu", "openvino", threads=1, precision=precision)  # type: ignore[arg-type]
        result = Predictor(reduced_bundle, settings).segment([image])
        found[precision] = sitk.GetArrayFromImage(result.labels)
    np.testing.assert_array_equal(found["full"], sitk.GetArrayFromImage(truth))
    assert set(found["reduced"].flat) == {2}


def test_reduced_precision_is_not_run_in_torch(reduced_bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match="does not run in torch"):
        Predictor(reduced_bundle, Settings("cpu", "torch", precision="reduced"))


def test_a_reduced_network_has_a_checksum_like_all_others(reduced_bundle: Bundle) -> None:
    path = reduced_bundle.folder / CHECK.file.path
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="another SHA-256"):
        load_bundle(reduced_bundle.folder)


def test_with_an_onnx_file_and_its_footprint_neither_torch_nor_onnx_is_imported(
    tmp_path: Path, project_root: Path
) -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("needs openvino")
    bundle = tiny_student(tmp_path / "plain")
    member = bundle.description.members[0]
    stored = replace(
        member,
        onnx=StoredFile("models/model.onnx", NO_SUM),
        footprint=facts_of_member(member).footprint,
    )
    files = {"models/model.onnx": all_second(bundle, tmp_path / "graph.onnx")}
    described = replace(bundle.description, members=(stored,))
    bundle = update_bundle(bundle, described, files, tmp_path / "stored")
    sitk.WriteImage(phantom()[0], str(tmp_path / "image.nii"))
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import importlib.util
plain = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in ("torch", "onnx") else plain(name)
import SimpleITK as sitk
from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
predictor = Predictor(load_bundle({str(bundle.folder)!r}), Settings(engine="openvino", threads=1))
labels = predictor.segment([sitk.ReadImage({str(tmp_path / "image.nii")!r})]).labels
found = set(sitk.GetArrayFromImage(labels).flat)
print(sorted(map(int, found)), predictor.choice)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=project_root
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[2] ")
    assert "OpenVINO" in done.stdout
