"""MONAI's own tools read and run the bundles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("monai.bundle", reason="needs MONAI")

from monai.bundle import ConfigWorkflow, verify_net_in_out

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
