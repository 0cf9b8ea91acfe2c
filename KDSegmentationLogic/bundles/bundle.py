"""A model bundle on disk: loaded, and checked before anything in it is believed.

Standard library only, so that listing and verifying cost nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from KDSegmentationLogic.bundles.decoding import DecodingError, decode
from KDSegmentationLogic.bundles.description import (
    FORMAT_VERSION,
    Description,
    Member,
    StoredFile,
)
from KDSegmentationLogic.bundles.jsonfile import parse_json
from KDSegmentationLogic.bundles.tensors import read_heads
from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.files import sha256_of

METADATA = "configs/metadata.json"
WORKFLOW = "configs/inference.json"
README = "docs/README.md"
LICENCE = "LICENSE"
BLOCK = "kdsegmentation"

# A description of twenty members is some 20 kB.
_LARGEST_METADATA = 4 * 1024**2
_AGAIN = "Get the bundle again from where it came, or ask its authors."


@dataclass(frozen=True)
class Bundle:
    """A checked bundle. ``name`` is its folder's name, by which users ask for it."""

    folder: Path
    name: str
    description: Description

    def weight_path(self, member: Member) -> Path:
        """The .safetensors file of one of the bundle's members."""
        return self.folder / member.weights

    def onnx_path(self, member: Member) -> Path | None:
        """The .onnx file of one of the bundle's members, if it has one."""
        return self.folder / member.onnx.path if member.onnx else None

    @property
    def licence_text(self) -> str:
        """The text of the bundle's licence file, or the licence's name where there is none."""
        return self._text(LICENCE) or self.description.licence

    @property
    def readme(self) -> str:
        """The bundle's README (Markdown), or its summary where there is none."""
        return self._text(README) or self.description.summary

    def _text(self, relative: str) -> str:
        path = self.folder / relative
        if not path.is_file() or not _inside(path, self.folder):
            return ""
        return path.read_text(encoding="utf-8", errors="replace")


def load_bundle(folder: str | os.PathLike[str], verify: bool = True) -> Bundle:
    """Load the bundle in ``folder``.

    Description, links and the heads of the weight files are always checked, the SHA-256 of
    weights with ``verify``. Loading runs no code of the bundle.

    Raises
    ------
    BundleError : something is missing, damaged, unsafe or of an unknown format; names the
        folder and the key.
    """
    path = absolute_folder(folder)
    return check_bundle(path, path.name, str(path), verify)


def check_bundle(folder: Path, name: str, called: str, verify: bool) -> Bundle:
    """``load_bundle`` for a bundle that messages shall name ``called``, e.g. as its .zip."""
    try:
        if not folder.is_dir():
            refuse(called, "there is no such folder", "Check the path.")
        description = _description(_metadata(folder, called), called)
        for index, member in enumerate(description.members):
            where = f"{BLOCK}.members[{index}]"
            _check_channels(description, member, called, where)
            weights = StoredFile(member.weights, member.sha256)
            _check_file(folder, weights, verify, called, f"{where}.weights")
            for graph in member.graphs:
                key = "onnx" if graph == member.onnx else "reduced.file"
                _check_file(folder, graph, verify, called, f"{where}.{key}")
    except OSError as error:
        refuse(called, f"it cannot be read ({error})", "Check the folder and its permissions.")
    return Bundle(folder, name, description)


def absolute_folder(folder: str | os.PathLike[str]) -> Path:
    """The absolute path, links kept: a bundle is called as its user called it."""
    path = Path(folder).expanduser()
    return path.resolve() if ".." in path.parts else path.absolute()


def refuse(called: str, problem: str, remedy: str = _AGAIN) -> NoReturn:
    """Raise the BundleError of the bundle ``called``."""
    raise BundleError(f"The bundle {called} cannot be used: {problem}.", remedy)


def _metadata(folder: Path, called: str) -> dict[str, Any]:
    path = folder / METADATA
    if not path.is_file():
        refuse(called, f"{METADATA} is missing", "Choose the folder that holds configs and models.")
    if not _inside(path, folder):
        refuse(called, f"{METADATA} is a link that leaves the folder")
    if path.stat().st_size > _LARGEST_METADATA:
        refuse(called, f"{METADATA} is larger than {_LARGEST_METADATA >> 20} MiB")
    try:
        metadata = parse_json(path.read_bytes())
    except ValueError as error:
        refuse(called, f"{METADATA} is not valid JSON ({error})")
    code = _code_for_monai(metadata, "")
    if code:
        refuse(called, f"{METADATA}, key {code}: MONAI would run this as code")
    return metadata


def _code_for_monai(value: Any, where: str) -> str | None:
    """The first key whose value MONAI's parser would evaluate, import or read from a file."""
    if isinstance(value, dict):
        if "_target_" in value:
            return f"{where}._target_".lstrip(".")
        found = (_code_for_monai(item, f"{where}.{key}") for key, item in value.items())
    elif isinstance(value, list):
        found = (_code_for_monai(item, f"{where}[{i}]") for i, item in enumerate(value))
    else:
        risky = isinstance(value, str) and value.lstrip().startswith(("$", "%", "@"))
        return where.lstrip(".") if risky else None
    return next((key for key in found if key), None)


def _description(metadata: dict[str, Any], called: str) -> Description:
    if BLOCK not in metadata:
        refuse(
            called,
            f"{METADATA} has no key {BLOCK}",
            "Only bundles written by KDSegmentation can be used here.",
        )
    block = metadata[BLOCK]
    version = block.get("format_version") if isinstance(block, dict) else None
    if type(version) is int and version > FORMAT_VERSION:
        refuse(
            called,
            f"its format version is {version}, and this KDSegmentation reads up to"
            f" {FORMAT_VERSION}",
            "Update KDSegmentation.",
        )
    try:
        description = decode(Description, block, BLOCK)
    except DecodingError as error:
        refuse(called, f"{METADATA}, key {error.where}: {error.problem}")
    if description.format_version < 1:
        refuse(called, f"{METADATA}, key {BLOCK}.format_version: must be 1 or more")
    return description


def _check_channels(description: Description, member: Member, called: str, where: str) -> None:
    """The network takes the described channels and gives the described classes."""
    for key, value, what in (
        ("in_channels", len(description.channels), "channels"),
        ("classes", description.classes, "labels with background"),
    ):
        found = member.arguments.get(key)
        if type(found) is not int or found != value:
            refuse(
                called,
                f"{METADATA}, key {where}.arguments.{key}: expected {value} (the number of"
                f" {what}), found {found!r}",
            )


def _check_file(folder: Path, file: StoredFile, verify: bool, called: str, where: str) -> None:
    path = folder / file.path
    if not path.is_file():
        refuse(called, f"key {where}: the file {file.path} is missing")
    if not _inside(path, folder):
        refuse(called, f"key {where}: the file {file.path} is a link that leaves the folder")
    if file.path.endswith(".safetensors"):
        try:
            read_heads(path)
        except ValueError as error:
            refuse(called, f"key {where}: the file {file.path} {error}")
    if verify and sha256_of(path) != file.sha256:
        refuse(called, f"key {where}: the file {file.path} has another SHA-256 than described")


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
