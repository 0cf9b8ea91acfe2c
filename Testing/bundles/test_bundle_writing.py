"""Saving networks as a bundle, and getting the same networks back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.bundles.description import (
    NO_SUM,
    Description,
    Measurement,
    StoredFile,
)
from KDSegmentationLogic.bundles.monai import Release
from KDSegmentationLogic.bundles.tensors import read_heads
from KDSegmentationLogic.bundles.weights import load_network
from KDSegmentationLogic.bundles.writing import save_bundle, update_bundle
from KDSegmentationLogic.errors import BundleError

Describe = Callable[..., Description]
Build = Callable[[Description], list[torch.nn.Module]]


def test_saved_networks_come_back_with_the_same_weights(
    tmp_path: Path, describe: Describe, describe_member: Callable, build: Build
) -> None:
    members = (describe_member("models/a.safetensors"), describe_member("b.safetensors"))
    described = describe(*members)
    networks = build(described)
    bundle = save_bundle(tmp_path / "new", described, networks)
    for member, network in zip(bundle.description.members, networks, strict=True):
        loaded = load_network(bundle, member)
        assert not loaded.training
        wanted = network.state_dict()
        assert loaded.state_dict().keys() == wanted.keys()
        assert all(torch.equal(wanted[k], v) for k, v in loaded.state_dict().items())


def test_the_saved_description_is_the_given_one_with_checksums(
    tmp_path: Path, describe: Describe, build: Build
) -> None:
    described = describe()
    bundle = save_bundle(tmp_path / "new", described, build(described))
    (member,) = bundle.description.members
    content = bundle.weight_path(member).read_bytes()
    assert member.sha256 == hashlib.sha256(content).hexdigest()
    member = dataclasses.replace(member, sha256=NO_SUM)
    assert dataclasses.replace(bundle.description, members=(member,)) == described
    assert load_bundle(tmp_path / "new").description == bundle.description


def test_the_same_networks_give_the_same_weight_file(
    tmp_path: Path, describe: Describe, build: Build
) -> None:
    one = save_bundle(tmp_path / "one", describe(), build(describe()))
    two = save_bundle(tmp_path / "two", describe(), build(describe()))
    assert one.description == two.description


def test_half_precision_halves_the_floats_and_keeps_the_counters(
    tmp_path: Path, describe: Describe, build: Build
) -> None:
    bundle = save_bundle(tmp_path / "half", describe(), build(describe()), half=True)
    (member,) = bundle.description.members
    heads = read_heads(bundle.weight_path(member))
    counters = {n for n in heads if n.endswith("num_batches_tracked")}
    statistics = {n for n in heads if n.endswith(("running_mean", "running_var"))}
    assert counters
    assert {heads[name].dtype for name in counters} == {"I64"}
    assert {heads[name].dtype for name in heads.keys() - counters - statistics} == {"F16"}
    (network,) = build(describe())
    for name, tensor in load_network(bundle, member).state_dict().items():
        wanted = network.state_dict()[name]
        assert tensor.dtype == wanted.dtype
        assert torch.allclose(tensor, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("value", [1e-9, 1e6])
def test_half_precision_keeps_the_statistics_of_batch_normalisation_exactly(
    tmp_path: Path, describe: Describe, build: Build, value: float
) -> None:
    networks = build(describe())
    name, variance = next(
        found for found in networks[0].named_buffers() if found[0].endswith("running_var")
    )
    variance.fill_(value)
    bundle = save_bundle(tmp_path / "half", describe(), networks, half=True)
    loaded = load_network(bundle, bundle.description.members[0])
    assert torch.equal(loaded.state_dict()[name], variance)


def test_a_saved_bundle_keeps_its_given_texts_and_release(
    tmp_path: Path, describe: Describe, build: Build
) -> None:
    release = Release("2.1.0", "smaller", "A. Author", "(c) A. Author")
    bundle = save_bundle(
        tmp_path / "new",
        describe(),
        build(describe()),
        licence_text="Do as you please.",
        readme="# Mine",
        release=release,
    )
    assert (bundle.licence_text, bundle.readme) == ("Do as you please.", "# Mine")
    assert '"2.1.0": "smaller"' in (bundle.folder / "configs/metadata.json").read_text()


def test_an_existing_folder_is_kept_unless_replacing_is_allowed(
    student: Path, describe: Describe, build: Build
) -> None:
    with pytest.raises(BundleError, match="exists"):
        save_bundle(student, describe(), build(describe()), readme="new")
    assert (
        save_bundle(student, describe(), build(describe()), readme="new", replace=True).readme
        == "new"
    )
    assert [path.name for path in student.parent.iterdir()] == ["tiny"]


def test_a_name_that_not_every_system_takes_is_refused(
    tmp_path: Path, describe: Describe, build: Build
) -> None:
    with pytest.raises(BundleError, match="'aux' holds a name that Windows keeps"):
        save_bundle(tmp_path / "aux", describe(), build(describe()))


@pytest.mark.parametrize(("value", "half"), [(float("nan"), False), (1e6, True)])
def test_weights_that_are_not_finite_are_not_saved(
    tmp_path: Path, describe: Describe, build: Build, value: float, half: bool
) -> None:
    networks = build(describe())
    with torch.no_grad():
        next(networks[0].parameters()).fill_(value)
    with pytest.raises(BundleError, match="are not finite"):
        save_bundle(tmp_path / "new", describe(), networks, half=half)
    assert not list(tmp_path.iterdir())


def test_a_number_of_networks_that_is_not_that_of_the_members_is_a_bug(
    tmp_path: Path, describe: Describe
) -> None:
    with pytest.raises(ValueError, match="0 networks for 1 members"):
        save_bundle(tmp_path / "new", describe(), [])


def with_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> Bundle:
    """The bundle with changed weights whose checksum is not looked at."""
    path = folder / "models/model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return load_bundle(folder, verify=False)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.pop("classifier.bias"), "lack 'classifier.bias'"),
        (lambda t: t.update(extra=torch.zeros(1)), "hold the unknown 'extra'"),
        (
            lambda t: t.update({"classifier.bias": torch.zeros(5)}),
            "give 'classifier.bias' the shape (5,), not (3,)",
        ),
        (
            lambda t: t.update({"classifier.bias": torch.zeros(3, dtype=torch.int64)}),
            "give 'classifier.bias' the type I64",
        ),
    ],
)
def test_weights_that_do_not_fit_the_network_are_refused(
    student: Path, change: Callable, problem: str
) -> None:
    bundle = with_weights(student, change)
    with pytest.raises(BundleError) as caught:
        load_network(bundle, bundle.description.members[0])
    assert problem in caught.value.cause
    assert str(student) in caught.value.cause


def test_an_unknown_architecture_is_refused_with_the_bundles_folder(student: Path) -> None:
    bundle = load_bundle(student)
    member = dataclasses.replace(bundle.description.members[0], architecture="oracle")
    with pytest.raises(BundleError, match=r"tiny: The architecture 'oracle'"):
        load_network(bundle, member)


def test_a_network_of_other_dimensions_than_its_patch_is_refused(student: Path) -> None:
    bundle = load_bundle(student)
    member = dataclasses.replace(bundle.description.members[0], patch=(8, 8), views=("axial",))
    with pytest.raises(BundleError, match=r"describes 2-D patches .* its network is 3-D"):
        load_network(bundle, member)


def test_weights_that_vanished_are_refused(student: Path) -> None:
    bundle = load_bundle(student)
    bundle.weight_path(bundle.description.members[0]).unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        load_network(bundle, bundle.description.members[0])


def test_measurements_and_an_onnx_file_are_added_to_a_bundle(student: Path, tmp_path: Path) -> None:
    exported = tmp_path / "any.onnx"
    exported.write_bytes(b"onnx")
    bundle = load_bundle(student)
    (member,) = bundle.description.members
    described = dataclasses.replace(
        bundle.description,
        members=(dataclasses.replace(member, onnx=StoredFile("models/model.onnx", NO_SUM)),),
        measured=(Measurement("cohort", 9, {"anterior": 0.875, "posterior": 0.75}),),
    )
    updated = update_bundle(bundle, described, {"models/model.onnx": exported})
    (member,) = load_bundle(student).description.members
    assert updated.description.measured[0].cases == 9
    assert updated.onnx_path(member) == student / "models/model.onnx"
    assert (student / "models/model.onnx").read_bytes() == b"onnx"
    assert "anterior: mean Dice 0.875" in updated.readme
    (student / "models/model.onnx").write_bytes(b"evil")
    with pytest.raises(BundleError, match=r"models/model\.onnx has another SHA-256"):
        load_bundle(student)


@pytest.mark.parametrize("changelog", ["all new", ["1.0.0"], None])
def test_an_update_of_a_bundle_whose_changelog_is_no_object_is_refused(
    student: Path, changelog: Any
) -> None:
    path = student / "configs/metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "changelog": changelog}))
    bundle = load_bundle(student)
    with pytest.raises(BundleError, match=r"tiny cannot be used: .*changelog is not an object"):
        update_bundle(bundle, bundle.description)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_everybody_may_read_a_bundle_whom_the_umask_lets(
    tmp_path: Path, describe: Describe, build: Build
) -> None:
    before = os.umask(0o022)
    try:
        bundle = save_bundle(tmp_path / "new", describe(), build(describe()))
    finally:
        os.umask(before)
    for path in bundle.folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_an_update_with_the_weights_of_another_network_is_refused(student: Path) -> None:
    bundle = load_bundle(student)
    member = dataclasses.replace(bundle.description.members[0], sha256=NO_SUM)
    described = dataclasses.replace(bundle.description, members=(member,))
    with pytest.raises(BundleError, match="another SHA-256"):
        update_bundle(bundle, described)
    assert load_bundle(student).description == bundle.description
