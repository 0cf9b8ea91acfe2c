"""MONAI's own tools read and run the bundles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

pytest.importorskip("monai.bundle", reason="needs MONAI")

from monai.bundle import ConfigWorkflow, run, verify_net_in_out

from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.bundles.description import FieldOfView
from KDSegmentationLogic.bundles.writing import save_bundle
from KDSegmentationLogic.inference.pipeline import Predictor
from KDSegmentationLogic.inference.region import Point

# What MONAI's meta schema of 2024-07-25 asks for. Its own check, verify_metadata, downloads
# the schema; a test must not.
REQUIRED = {
    "schema",
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
}
OF_A_TENSOR = {
    "type",
    "format",
    "num_channels",
    "spatial_shape",
    "dtype",
    "value_range",
    "is_patch_data",
    "channel_def",
}


def configs(folder: Path) -> dict[str, str]:
    return {
        "config_file": str(folder / "configs/inference.json"),
        "meta_file": str(folder / "configs/metadata.json"),
        "bundle_root": str(folder),
    }


def test_the_metadata_has_every_key_that_monai_asks_for(student: Path) -> None:
    metadata = json.loads((student / "configs/metadata.json").read_text())
    assert metadata.keys() >= REQUIRED
    assert metadata["changelog"].keys() == {metadata["version"]}
    tensors = metadata["network_data_format"]
    assert tensors["inputs"]["image"].keys() >= OF_A_TENSOR
    assert tensors["outputs"]["pred"].keys() >= OF_A_TENSOR
    names = tensors["outputs"]["pred"]["channel_def"]
    assert names == {"0": "background", "1": "anterior", "2": "posterior"}


@pytest.mark.parametrize("kind", ["student", "ensemble"])
def test_monai_builds_the_network_and_finds_its_output_as_described(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    verify_net_in_out("network_def", device="cpu", **configs(folder))


def test_monai_gets_every_member_of_an_ensemble(ensemble: Path) -> None:
    workflow = ConfigWorkflow(workflow_type="infer", **configs(ensemble))
    workflow.initialize()
    first, second = workflow.parser.get_parsed_content("networks")
    assert (first.dimensions, second.dimensions) == (3, 2)
    assert workflow.network_def is first
    assert not first.training


def test_monais_inferer_runs_the_network_over_a_larger_image(student: Path) -> None:
    workflow = ConfigWorkflow(workflow_type="infer", **configs(student))
    workflow.initialize()
    with torch.no_grad():
        logits = workflow.inferer(torch.zeros(1, 1, 12, 16, 9), workflow.network_def)
    assert logits.shape == (1, 3, 12, 16, 9)


def test_a_bundle_has_every_property_that_monai_asks_of_an_inference(
    student: Path, image: Path
) -> None:
    workflow = ConfigWorkflow(workflow_type="infer", input_file=str(image), **configs(student))
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A noisy image on a grid that is not the network's."""
    values = np.random.default_rng(3).normal(size=(14, 20, 16)).astype(np.float32)
    made = sitk.GetImageFromArray(values)
    made.SetSpacing((1.0, 0.8, 1.5))
    made.SetOrigin((5.0, -7.0, 11.0))
    path = tmp_path / "case.nii.gz"
    sitk.WriteImage(made, str(path))
    return path


@pytest.mark.parametrize("kind", ["student", "ensemble"])
def test_monai_writes_the_label_map_that_the_predictor_makes(
    kind: str, image: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    output = tmp_path / "labels.nii.gz"
    run(input_file=str(image), output_file=str(output), device="cpu", **configs(folder))
    wanted = Predictor(load_bundle(folder)).segment([sitk.ReadImage(str(image))]).labels
    found = sitk.ReadImage(str(output))
    assert np.array_equal(sitk.GetArrayViewFromImage(found), sitk.GetArrayViewFromImage(wanted))
    assert len(np.unique(sitk.GetArrayViewFromImage(found))) > 1
    assert found.GetSpacing() == pytest.approx(wanted.GetSpacing())


def test_monai_segments_the_structure_at_a_point(
    describe: Callable, build: Callable, image: Path, tmp_path: Path
) -> None:
    described = describe(field_of_view=FieldOfView("crop", (8.0, 8.0, 8.0)))
    bundle = save_bundle(tmp_path / "crop", described, build(described))
    output = tmp_path / "labels.nii.gz"
    ras = [-12.0, 1.0, 20.0]
    run(
        input_file=str(image),
        output_file=str(output),
        point=ras,
        device="cpu",
        **configs(bundle.folder),
    )
    source = sitk.ReadImage(str(image))
    wanted = Predictor(bundle).segment([source], Point((ras[0], ras[1], ras[2]))).labels
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(output)))
    assert np.array_equal(found, sitk.GetArrayViewFromImage(wanted))


@pytest.mark.slow
def test_monais_command_line_runs_a_bundle_from_its_folder(
    student: Path, image: Path, tmp_path: Path, project_root: Path
) -> None:
    pytest.importorskip("fire", reason="MONAI's command line needs the package fire")
    command = [sys.executable, "-m", "monai.bundle", "run"]
    command += ["--config_file", "configs/inference.json", "--input_file", str(image)]
    command += ["--output_file", str(tmp_path / "labels.nii.gz")]
    path = os.pathsep.join([str(project_root), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run(command, cwd=student, env=environment, check=True, capture_output=True)
    assert (tmp_path / "labels.nii.gz").is_file()
