"""Importing: nothing lands that was not checked, nothing is left on failure."""

from __future__ import annotations

import json
import os
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from KDSegmentationLogic.bundles import landing, package
from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.bundles.transfer import import_bundle
from KDSegmentationLogic.errors import BundleError

WEIGHTS = "models/model.safetensors"
Listing = Callable[[Path], list[tuple[str, Any]]]


@pytest.fixture
def models(tmp_path: Path, student: Path) -> Path:
    """A folder of models that already holds one, called ``other``."""
    folder = tmp_path / "models"
    import_bundle(student.rename(student.with_name("other")), target=folder)
    (folder / "other").rename(folder / "kept")
    student.with_name("other").rename(student)
    return folder


@pytest.fixture
def refused(models: Path, listing: Listing) -> Callable[..., str]:
    """Imports what must be refused; gives the cause, and asserts that nothing changed."""

    def attempt(source: Path, replace: bool = False) -> str:
        before = listing(models)
        with pytest.raises(BundleError) as caught:
            import_bundle(source, replace=replace, target=models)
        assert listing(models) == before
        assert caught.value.remedy
        return caught.value.cause

    return attempt


def pack(folder: Path, path: Path, top: str = "tiny/") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


def pack_with(folder: Path, name: str | zipfile.ZipInfo, content: bytes = b"x") -> Path:
    """The tiny student with one more entry."""
    path = pack(folder, folder.parent / "tiny.zip")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    path = folder / "configs/metadata.json"
    metadata = json.loads(path.read_text())
    change(metadata["kdsegmentation"])
    path.write_text(json.dumps(metadata))
    return folder


def test_a_zip_with_a_folder_on_top_is_named_after_that(student: Path, tmp_path: Path) -> None:
    bundle = import_bundle(pack(student, tmp_path / "download.zip"), target=tmp_path / "models")
    assert bundle.folder == tmp_path / "models" / "tiny"
    assert load_bundle(bundle.folder).description == load_bundle(student).description


def test_a_zip_without_a_folder_on_top_is_named_after_the_zip(
    student: Path, tmp_path: Path
) -> None:
    source = pack(student, tmp_path / "brain (1).zip", top="")
    assert import_bundle(source, target=tmp_path / "models").name == "brain (1)"


def test_a_folder_is_imported(student: Path, tmp_path: Path) -> None:
    bundle = import_bundle(student, target=tmp_path / "models")
    assert bundle.name == "tiny"
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["tiny"]


def test_without_a_target_a_bundle_lands_in_the_users_folder(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDSEG_MODELS", str(tmp_path / "mine"))
    assert import_bundle(student).folder == tmp_path / "mine" / "tiny"


def test_what_systems_leave_in_archives_does_not_land(student: Path, tmp_path: Path) -> None:
    (student / ".DS_Store").write_bytes(b"x")
    source = pack_with(student, "__MACOSX/tiny/._LICENSE")
    bundle = import_bundle(source, target=tmp_path / "models")
    assert not list(bundle.folder.rglob(".*"))


def test_the_workflow_that_monai_runs_is_written_anew(student: Path, tmp_path: Path) -> None:
    path = student / "configs/inference.json"
    genuine = path.read_text()
    path.write_text("{\"run\": \"$__import__('os').system('true')\"}")
    bundle = import_bundle(student, target=tmp_path / "models")
    assert (bundle.folder / "configs/inference.json").read_text() == genuine


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("/evil.txt", "is an absolute path"),
        ("C:/evil.txt", "is an absolute path"),
        ("C:evil.txt", "is an absolute path"),
        ("//server/share/evil.txt", "is an absolute path"),
        ("../evil.txt", "leaves the bundle"),
        ("tiny/../../evil.txt", "leaves the bundle"),
        ("tiny\\..\\evil.txt", "holds a backslash"),
        ("tiny//evil.txt", "holds a name other than"),
        ("tiny/./evil.txt", "holds a name other than"),
        ("tiny/CON.txt", "Windows keeps for a device"),
        ("tiny/evil.txt.", "holds a name other than"),
        ("tiny/evil.txt:stream", "holds a name other than"),
        ("tiny/.hidden.txt", "holds a name other than"),
        ("tiny/e\u0301vil.txt", "holds a name other than"),
        ("tiny/" + "a" * 300 + ".txt", "is longer than 150 characters"),
        ("tiny/docs/readme.md", "the same on some systems"),
        ("tiny/Models/MODEL.safetensors", "the same on some systems"),
        ("tiny/Docs/more.txt", "the same on some systems"),
        ("tiny/LICENSE/evil.txt", "as a file and as a folder"),
        ("tiny/run.py", "can run code when loaded"),
        ("tiny/models/model.pt", "can run code when loaded"),
        ("tiny/models/model.pth", "can run code when loaded"),
        ("tiny/models/model.PKL", "can run code when loaded"),
        ("tiny/models/model.ts", "can run code when loaded"),
        ("tiny/scripts/tool.exe", "a kind of file that bundles do not have"),
        ("tiny/README", "a kind of file that bundles do not have"),
        ("tiny/configs/train.json", "a workflow that MONAI would run as code"),
        ("tiny/models/spare.safetensors", "which its description does not name"),
        ("tiny/models/model.onnx", "which its description does not name"),
        ("beside.txt", "holds beside.txt beside the bundle"),
        ("second/configs/metadata.json", "it holds 2 bundles"),
    ],
)
def test_a_zip_with_a_file_that_must_not_land_is_refused(
    student: Path, refused: Callable[..., str], name: str, problem: str
) -> None:
    cause = refused(pack_with(student, name))
    assert problem in cause
    assert "tiny.zip" in cause


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_holds_a_file_twice_is_refused(
    student: Path, refused: Callable[..., str]
) -> None:
    assert "it holds LICENSE twice" in refused(pack_with(student, "tiny/LICENSE"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_or_device_in_a_zip_is_refused(
    student: Path, refused: Callable[..., str], kind: int
) -> None:
    info = zipfile.ZipInfo("tiny/docs/more.txt")
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    assert "a link or no ordinary file" in refused(pack_with(student, info, b"/etc/passwd"))


def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_refused(
    student: Path, refused: Callable[..., str]
) -> None:
    source = pack_with(student, "tiny/docs/bomb.txt", bytes(3 * 1024**2))
    assert "docs/bomb.txt in it unpacks to more than 100 times its size" in refused(source)


def test_too_many_files_are_refused(student: Path, refused: Callable[..., str]) -> None:
    source = pack(student, student.parent / "tiny.zip")
    with zipfile.ZipFile(source, "a") as archive:
        for index in range(package.MOST_FILES):
            archive.writestr(f"tiny/docs/{index}.txt", "")
    assert f"more than {package.MOST_FILES}" in refused(source)


def test_a_zip_larger_than_the_limit_is_refused(
    student: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "MOST_BYTES", 1000)
    assert "it is larger than" in refused(pack(student, student.parent / "tiny.zip"))


def test_an_entry_that_hides_its_size_does_not_land(
    student: Path, refused: Callable[..., str]
) -> None:
    source = pack_with(student, "tiny/docs/more.txt", b"a" * 1000)
    content = source.read_bytes()
    true, false = (1000).to_bytes(4, "little"), (5).to_bytes(4, "little")
    assert content.count(true) == 2
    source.write_bytes(content.replace(true, false))
    assert "the .zip is damaged" in refused(source)


def test_an_encrypted_zip_is_refused(student: Path, refused: Callable[..., str]) -> None:
    source = pack(student, student.parent / "tiny.zip")
    content = bytearray(source.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    source.write_bytes(content)
    assert "is encrypted" in refused(source)


def test_another_compression_is_refused(student: Path, refused: Callable[..., str]) -> None:
    source = pack(student, student.parent / "tiny.zip")
    with zipfile.ZipFile(source, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("tiny/docs/more.txt", "x")
    assert "by another method than deflate" in refused(source)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_zip_cut_short_is_refused(
    student: Path, refused: Callable[..., str], kept: float
) -> None:
    source = pack(student, student.parent / "tiny.zip")
    content = source.read_bytes()
    source.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    assert "it is not a .zip file or is cut short" in refused(source)


def test_a_zip_with_a_flipped_byte_in_its_weights_is_refused(
    student: Path, refused: Callable[..., str]
) -> None:
    source = pack(student, student.parent / "tiny.zip")
    with zipfile.ZipFile(source) as archive:
        info = archive.getinfo(f"tiny/{WEIGHTS}")
    content = bytearray(source.read_bytes())
    content[info.header_offset + 200 + info.compress_size // 2] ^= 0xFF
    source.write_bytes(content)
    assert "tiny.zip cannot be used" in refused(source)


def test_a_text_file_called_zip_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    source = tmp_path / "tiny.zip"
    source.write_text("hello")
    assert "it is not a .zip file" in refused(source)


def test_a_zip_without_bundle_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    source = tmp_path / "texts.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("texts/readme.txt", "x")
    assert "it holds no configs/metadata.json" in refused(source)


def test_an_empty_zip_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    source = tmp_path / "empty.zip"
    zipfile.ZipFile(source, "w").close()
    assert "it holds no configs/metadata.json" in refused(source)


def test_a_bundle_two_folders_deep_is_refused(student: Path, refused: Callable[..., str]) -> None:
    source = pack(student, student.parent / "tiny.zip", top="a/tiny/")
    assert "lies too deep" in refused(source)


def test_a_missing_source_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "there is no such file or folder" in refused(tmp_path / "none.zip")


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "notes").mkdir()
    assert "configs/metadata.json is missing" in refused(tmp_path / "notes")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda block: block.pop("channels"), "channels: is missing"),
        (lambda block: block.update(members="all"), "members: expected a list, found 'all'"),
        (lambda block: block["members"][0].update(sha256="0" * 64), "another SHA-256"),
        (lambda block: block.update(format_version=9), "format version is 9"),
        (lambda block: block["members"][0].update(weights="../w.safetensors"), "leaves the bundle"),
    ],
)
def test_a_description_that_is_wrong_is_refused_on_import(
    student: Path,
    refused: Callable[..., str],
    change: Callable[[dict[str, Any]], Any],
    problem: str,
) -> None:
    edit(student, change)
    assert problem in refused(student)
    cause = refused(pack(student, student.parent / "tiny.zip"))
    assert problem in cause
    assert "tiny.zip" in cause
    assert ".writing" not in cause


def narrow(block: dict[str, Any]) -> None:
    block["members"][0]["arguments"]["widths"] = [8, 16]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (narrow, f"the weights {WEIGHTS} of 'student_unet' "),
        (lambda block: block["members"][0].update(architecture="oracle"), "'oracle' is not known"),
        (
            lambda block: block["members"][0]["arguments"].update(colour=1),
            "has no argument 'colour'",
        ),
        (
            lambda block: block["members"][0].update(patch=[8, 8], views=["axial"]),
            "its network is 3-D",
        ),
    ],
)
def test_weights_that_no_network_takes_are_refused_on_import(
    student: Path,
    refused: Callable[..., str],
    change: Callable[[dict[str, Any]], Any],
    problem: str,
) -> None:
    cause = refused(edit(student, change))
    assert problem in cause
    assert str(student) in cause
    assert ".writing" not in cause


def test_a_pickle_in_a_safetensors_name_is_refused_on_import(
    student: Path, refused: Callable[..., str]
) -> None:
    (student / WEIGHTS).write_bytes(b"\x80\x04" + bytes(50))
    assert "is a pickle" in refused(pack(student, student.parent / "tiny.zip"))


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege on Windows")
@pytest.mark.parametrize("name", ["docs/more.txt", "more"])
def test_a_link_in_a_folder_is_refused(
    student: Path, refused: Callable[..., str], name: str
) -> None:
    (student / name).symlink_to(student.parent)
    assert "a link or no ordinary file" in refused(student)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_a_folder_is_refused(student: Path, refused: Callable[..., str]) -> None:
    os.mkfifo(student / "docs" / "more.txt")
    assert "a link or no ordinary file" in refused(student)


def test_code_in_a_folder_is_refused(student: Path, refused: Callable[..., str]) -> None:
    (student / "scripts").mkdir()
    (student / "scripts/model.py").write_text("")
    assert "scripts/model.py, a kind of file that can run code" in refused(student)


def test_a_name_that_is_taken_is_refused(
    student: Path, models: Path, refused: Callable[..., str]
) -> None:
    import_bundle(student, target=models)
    assert f"The folder {models / 'tiny'} exists" in refused(student)


def test_a_name_that_is_taken_in_other_case_is_refused(
    student: Path, models: Path, refused: Callable[..., str]
) -> None:
    import_bundle(student, target=models)
    other = student.rename(student.with_name("TINY"))
    assert f"The folder {models / 'tiny'} exists" in refused(other)


def test_replacing_puts_the_new_bundle_in_and_leaves_nothing_beside(
    student: Path, models: Path
) -> None:
    import_bundle(student, target=models)
    (student / "docs/README.md").write_text("new")
    assert import_bundle(student, replace=True, target=models).readme == "new"
    assert sorted(p.name for p in models.iterdir()) == ["kept", "tiny"]


def test_a_failed_replacement_keeps_the_old_bundle(
    student: Path, models: Path, refused: Callable[..., str]
) -> None:
    import_bundle(student, target=models)
    edit(student, lambda block: block["members"][0].update(sha256="0" * 64))
    assert "another SHA-256" in refused(student, replace=True)
    assert load_bundle(models / "tiny").name == "tiny"


def test_the_old_bundle_comes_back_when_the_new_one_cannot_land(
    student: Path,
    models: Path,
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import_bundle(student, target=models)
    rename = os.rename

    def failing(source: Path, target: Path) -> None:
        if Path(source).parent.name.startswith(".writing-"):
            raise PermissionError("in use")
        rename(source, target)

    monkeypatch.setattr(landing.os, "rename", failing)
    assert "it cannot be copied (in use)" in refused(student, replace=True)


def test_a_folder_that_is_no_bundle_is_never_replaced(
    student: Path, models: Path, refused: Callable[..., str]
) -> None:
    (models / "tiny").mkdir()
    (models / "tiny" / "thesis.txt").write_text("years")
    assert "is no bundle and is not replaced" in refused(student, replace=True)


def test_a_failed_first_import_makes_no_models_folder(student: Path, tmp_path: Path) -> None:
    edit(student, lambda block: block["members"][0].update(sha256="0" * 64))
    with pytest.raises(BundleError, match="another SHA-256"):
        import_bundle(student, target=tmp_path / "new" / "models")
    assert not (tmp_path / "new").exists()
