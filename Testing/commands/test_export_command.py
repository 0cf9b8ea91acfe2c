"""``kdseg export``: networks that other programs run as we do."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import torch

from KDSegmentationLogic.bundles.transfer import import_bundle
from KDSegmentationLogic.bundles.weights import load_network
from KDSegmentationLogic.inference.engines.runtimes import onnx_runtime, openvino_runtime

BATCH = np.random.default_rng(0).normal(0, 1, (2, 1, 8, 12, 10)).astype(np.float32)


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")


def wanted(bundle) -> np.ndarray:
    with torch.inference_mode():
        return load_network(bundle, bundle.description.members[0])(torch.from_numpy(BATCH)).numpy()


def by_onnx(path) -> np.ndarray:
    needs("onnxruntime")
    session = onnx_runtime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": BATCH})[0]


def by_openvino(path) -> np.ndarray:
    needs("openvino")
    model = (
        openvino_runtime()
        .Core()
        .compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    )
    return model({"image": BATCH})["logits"]


def by_torchscript(path) -> np.ndarray:
    return torch.jit.load(str(path))(torch.from_numpy(BATCH)).numpy()


@pytest.mark.parametrize(
    ("form", "name", "run"),
    [
        ("onnx", "net.onnx", by_onnx),
        ("openvino", "net.xml", by_openvino),
        ("torchscript", "net.pt", by_torchscript),
    ],
)
def test_an_exported_network_gives_the_logits_of_the_models_own(
    form, name, run, kdseg, student_bundle, tmp_path
) -> None:
    path = tmp_path / "new" / name
    said = kdseg("export", student_bundle.folder, "--to", form, "-o", path, "--json")
    assert said.status == 0
    assert json.loads(said.out)["files"] == [str(path)]
    np.testing.assert_allclose(run(path), wanted(student_bundle), atol=1e-4)
    assert not list(path.parent.glob(".writing*"))


def test_a_packed_model_can_be_imported(kdseg, student_bundle, tmp_path) -> None:
    path = tmp_path / "student.zip"
    assert kdseg("export", student_bundle.folder, "--to", "monai-bundle", "-o", path).status == 0
    assert import_bundle(path, target=tmp_path / "models").name == student_bundle.name


def test_an_ensembles_networks_go_into_a_folder(kdseg, ensemble_bundle, tmp_path) -> None:
    folder = tmp_path / "nets"
    said = kdseg("export", ensemble_bundle.folder, "--to", "torchscript", "-o", folder)
    assert said.status == 0
    assert sorted(p.name for p in folder.iterdir()) == ["axial.pt", "views.pt", "volume.pt"]
    one = kdseg("export", ensemble_bundle.folder, "--to", "onnx", "-o", tmp_path / "one.onnx")
    assert one.status == 2
    assert "3 networks" in one.err


def test_a_wrong_ending_and_a_file_that_exists_are_refused(kdseg, student_bundle, tmp_path) -> None:
    said = kdseg("export", student_bundle.folder, "--to", "onnx", "-o", tmp_path / "net.pb")
    assert said.status == 2
    assert "net.onnx" in said.err
    (tmp_path / "net.pt").write_text("mine")
    arguments = ("export", student_bundle.folder, "--to", "torchscript", "-o", tmp_path / "net.pt")
    assert kdseg(*arguments).status == 2
    assert (tmp_path / "net.pt").read_text() == "mine"
    assert kdseg(*arguments, "--overwrite").status == 0
