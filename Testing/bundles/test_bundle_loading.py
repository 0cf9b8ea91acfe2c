"""What ``load_bundle`` takes, and every way in which it refuses."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.errors import BundleError

WEIGHTS = "models/model.safetensors"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def edit(student: Path) -> Callable[[Change], Path]:
    """Changes the metadata of the tiny student; gives its folder."""

    def edited(change: Change) -> Path:
        path = student / "configs/metadata.json"
        metadata = json.loads(path.read_text())
        change(metadata)
        path.write_text(json.dumps(metadata))
        return student

    return edited


def refusal(folder: Path, verify: bool = True) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder, verify)
    assert str(folder) in caught.value.cause
    assert caught.value.remedy
    return caught.value.cause


def rewrite(student: Path, content: bytes) -> None:
    """Put other weights in, with their true checksum, so that only the content is wrong."""
    (student / WEIGHTS).write_bytes(content)
    path = student / "configs/metadata.json"
    metadata = json.loads(path.read_text())
    member = metadata["kdsegmentation"]["members"][0]
    member["sha256"] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(metadata))


def safetensors(head: Any, data: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(shape: list[Any], span: list[Any], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": span}


def test_a_valid_bundle_tells_its_name_licence_and_readme(student: Path) -> None:
    bundle = load_bundle(student)
    assert bundle.name == "tiny"
    assert bundle.description.classes == 3
    assert bundle.weight_path(bundle.description.members[0]) == student / WEIGHTS
    assert bundle.licence_text == "Apache-2.0\n"
    assert "kdseg segment IMAGE -m tiny" in bundle.readme


def test_a_bundle_without_licence_file_tells_the_licence_of_its_description(student: Path) -> None:
    (student / "LICENSE").unlink()
    (student / "docs/README.md").unlink()
    bundle = load_bundle(student)
    assert bundle.licence_text == "Apache-2.0"
    assert bundle.readme == bundle.description.summary


def test_a_byte_order_mark_in_the_metadata_does_no_harm(student: Path) -> None:
    path = student / "configs/metadata.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_bundle(student).name == "tiny"


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "there is no such folder" in refusal(tmp_path / "none")


def test_a_folder_without_metadata_is_refused(tmp_path: Path) -> None:
    assert "configs/metadata.json is missing" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "is not valid JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deep"),
        (b'{"a":' + b"[" * 50 + b"]" * 50 + b"}", "nested too deep"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "nested too deep"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "is not valid JSON"),
        (b" " * (4 * 1024**2 + 1), "is larger than 4 MiB"),
        (b"{}", "has no key kdsegmentation"),
    ],
    ids=[
        "cut",
        "list",
        "twice",
        "nan",
        "utf16",
        "deep",
        "lists",
        "objects",
        "digits",
        "large",
        "foreign",
    ],
)
def test_metadata_that_is_no_json_of_ours_is_refused(
    student: Path, content: bytes, problem: str
) -> None:
    (student / "configs/metadata.json").write_bytes(content)
    assert problem in refusal(student)


def test_a_newer_format_says_to_update_before_anything_else(edit: Callable) -> None:
    def newer(metadata: dict[str, Any]) -> None:
        metadata["kdsegmentation"] = {"format_version": 2, "unheard": "of"}

    folder = edit(newer)
    with pytest.raises(BundleError, match=r"format version is 2.*reads up to 1.*Update") as caught:
        load_bundle(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("version", [0, -1])
def test_a_format_version_below_one_is_refused(edit: Callable, version: int) -> None:
    folder = edit(lambda m: m["kdsegmentation"].update(format_version=version))
    assert "format_version: must be 1 or more" in refusal(folder)


def block(**values: Any) -> Change:
    return lambda metadata: metadata["kdsegmentation"].update(values)


def member(**values: Any) -> Change:
    return lambda metadata: metadata["kdsegmentation"]["members"][0].update(values)


def flat(*views: str) -> Change:
    """A 2-D network on a 2-D grid."""

    def change(metadata: dict[str, Any]) -> None:
        member(patch=[8, 8], views=list(views))(metadata)
        metadata["kdsegmentation"]["grid"]["dimensions"] = 2

    return change


def argument(**values: Any) -> Change:
    return lambda m: m["kdsegmentation"]["members"][0]["arguments"].update(values)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m["kdsegmentation"].pop("labels"), "kdsegmentation.labels: is missing"),
        (lambda m: m.update(kdsegmentation=[]), "kdsegmentation: expected an object"),
        (block(title=5), "kdsegmentation.title: expected text, found 5"),
        (block(format_version="1"), "format_version: expected a whole number"),
        (block(format_version=True), "format_version: expected a whole number"),
        (block(kind="oracle"), "kind: expected one of student, network, ensemble"),
        (block(kind="ensemble"), "an ensemble has several members"),
        (block(labels=[]), "a model needs at least one label"),
        (block(channels=[]), "a model needs at least one channel"),
        (block(colour="red"), "kdsegmentation.colour: is not a known key"),
        (member(patch=[8, "8", 8]), "members[0].patch[1]: expected a whole number"),
        (flat("coronal"), "a 2-D grid has the view axial only"),
        (flat("axial", "sagittal"), "a 2-D grid has the view axial only"),
        (member(patch=[8]), "a patch has 2 or 3 sizes"),
        (member(overlap=1.0), "the overlap must be at least 0 and below 1"),
        (member(temperature=10**400), "members[0].temperature: expected a finite number"),
        (member(whole="yes"), "members[0].whole: expected true or false"),
        (member(sha256="abc"), "sha256 must be 64 hexadecimal digits"),
        (member(weights="/etc/model.safetensors"), "is an absolute path"),
        (member(weights="../model.safetensors"), "leaves the bundle"),
        (member(weights="C:/model.safetensors"), "is an absolute path"),
        (member(weights="models\\model.safetensors"), "holds a backslash"),
        (member(weights="models/nul.safetensors"), "Windows keeps for a device"),
        (member(weights="models/a\0.safetensors"), "holds a name other than"),
        (member(weights="models/model.pt"), "does not end in .safetensors"),
        (member(weights="models/other.safetensors"), "models/other.safetensors is missing"),
        (argument(in_channels=2), "arguments.in_channels: expected 1 (the number of channels)"),
        (argument(classes=7), "arguments.classes: expected 3"),
        (argument(classes=None), "arguments.classes: expected 3"),
        (argument(widths="$__import__('os')"), "arguments.widths: MONAI would run this as code"),
        (argument(widths={"_target_": "os.system"}), "_target_: MONAI would run this as code"),
        (lambda m: m.update(authors="%/etc/passwd"), "authors: MONAI would run this as code"),
        (member(onnx={"path": "../m.onnx", "sha256": "0" * 64}), "leaves the bundle"),
        (member(onnx={"path": "models/m.onnx", "sha256": "0" * 64}), "models/m.onnx is missing"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(edit: Callable, change: Change, problem: str) -> None:
    assert problem in refusal(edit(change))


def test_two_members_whose_files_differ_in_case_only_are_refused(ensemble: Path) -> None:
    path = ensemble / "configs/metadata.json"
    text = path.read_text().replace("models/second", "models/FIRST")
    path.write_text(text)
    assert "holds something twice" in refusal(ensemble)


def test_a_changed_weight_is_found_by_its_checksum(student: Path) -> None:
    path = student / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert f"{WEIGHTS} has another SHA-256 than described" in refusal(student)
    assert load_bundle(student, verify=False).name == "tiny"


def test_weights_cut_short_are_refused_without_hashing(student: Path) -> None:
    path = student / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])
    assert "is cut short: 100 bytes are missing" in refusal(student, verify=False)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04" + bytes(100), "is a pickle (it could run code)"),
        (b"\x80\x04\x95" + bytes(100), "is a pickle (it could run code)"),
        (b"", "is not a safetensors file"),
        (bytes(8), "is not a safetensors file"),
        (struct.pack("<Q", 2**40) + b"{}", "is not a safetensors file"),
        (safetensors(b"{}" + b" " * 4 * 1024**2), "its head is larger than 4 MiB"),
        (struct.pack("<Q", 50) + b"{}", "ends before its head does"),
        (safetensors(b"[]"), "is not a safetensors file"),
        (safetensors(b'{"a": }'), "has an unreadable head"),
        (safetensors(b'{"a": 1, "a": 2}'), "the key 'a' stands twice"),
        (safetensors({}), "holds no tensors"),
        (safetensors({"w": {"dtype": "F32"}}), "describes the tensor 'w' incompletely"),
        (safetensors({"w": tensor([1], [0, 4], "OBJ")}, bytes(4)), "unknown type 'OBJ'"),
        (safetensors({"w": tensor([2], [0, 4])}, bytes(4)), "the shape [2], which does not fit"),
        (safetensors({"w": tensor([-1], [0, 4])}, bytes(4)), "impossible shape or place"),
        (safetensors({"w": tensor([1.0], [0, 4])}, bytes(4)), "impossible shape or place"),
        (safetensors({"w": tensor([2**60], [0, 4])}, bytes(4)), "impossible shape or place"),
        (safetensors({"w": tensor([1], [0, 4])}, bytes(9)), "has 5 bytes after its last tensor"),
        (
            safetensors({"v": tensor([1], [0, 4]), "w": tensor([1], [0, 4])}, bytes(4)),
            "overlap or leave gaps",
        ),
        (safetensors({"v": tensor([1], [4, 8])}, bytes(8)), "overlap or leave gaps"),
    ],
)
def test_weights_that_are_no_sound_safetensors_are_refused(
    student: Path, content: bytes, problem: str
) -> None:
    rewrite(student, content)
    cause = refusal(student, verify=False)
    assert problem in cause
    assert "kdsegmentation.members[0].weights" in cause


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege on Windows")
@pytest.mark.parametrize("relative", [WEIGHTS, "configs/metadata.json"])
def test_a_link_that_leaves_the_folder_is_refused(student: Path, relative: str) -> None:
    outside = student.parent / "outside"
    (student / relative).rename(outside)
    (student / relative).symlink_to(outside)
    assert "is a link that leaves the folder" in refusal(student)


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege on Windows")
def test_a_licence_that_links_out_of_the_folder_is_not_shown(student: Path) -> None:
    outside = student.parent / "outside"
    outside.write_text("secret")
    (student / "LICENSE").unlink()
    (student / "LICENSE").symlink_to(outside)
    assert load_bundle(student).licence_text == "Apache-2.0"


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege on Windows")
def test_a_link_to_a_whole_bundle_keeps_the_links_name(student: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(student, target_is_directory=True)
    assert load_bundle(tmp_path / "alias").name == "alias"
