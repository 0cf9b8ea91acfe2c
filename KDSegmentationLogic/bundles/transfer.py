"""Bringing a bundle in from a .zip or a folder, and packing one to give away.

Standard library only; importing also uses torch where there is one.
"""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from pathlib import Path

from KDSegmentationLogic.bundles.bundle import (
    WORKFLOW,
    Bundle,
    absolute_folder,
    check_bundle,
    load_bundle,
    refuse,
)
from KDSegmentationLogic.bundles.catalogue import user_models_folder
from KDSegmentationLogic.bundles.jsonfile import format_json
from KDSegmentationLogic.bundles.landing import landing, refuse_existing
from KDSegmentationLogic.bundles.monai import workflow_of
from KDSegmentationLogic.bundles.package import Entry, open_source
from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.files import atomic_file, write_text

# The earliest date that a .zip can tell: the same bundle gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


def import_bundle(
    source: str | os.PathLike[str],
    replace: bool = False,
    target: str | os.PathLike[str] | None = None,
) -> Bundle:
    """Check the bundle ``source`` (a .zip or a folder) and install it.

    It is named after its folder, or after the .zip where that has no folder on top. Every
    check comes before the bundle appears in ``target``, and on an error nothing is left there.
    Its inference.json is written anew: MONAI runs expressions in that file as code. Whether the
    weights fit their networks is checked where torch is installed, else at their first use.

    Parameters
    ----------
    replace : an installed bundle of the same name makes place once the new one is checked.
    target : the folder of models; default ``user_models_folder()``.

    Raises
    ------
    BundleError : the bundle is damaged, unsafe or of an unknown format, or its name is taken.
    """
    path = Path(source).expanduser()
    models = user_models_folder() if target is None else absolute_folder(target)
    try:
        with open_source(path) as found:
            place = models / found.name
            refuse_existing(place, replace)
            with landing(place) as content:
                for entry in found.entries:
                    _copy(entry, content)
                bundle = check_bundle(content, found.name, str(path), verify=True)
                _refuse_unnamed(bundle, found.entries, str(path))
                _check_networks(bundle, str(path))
                write_text(content / WORKFLOW, format_json(workflow_of(bundle.description)))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        refuse(str(path), f"the .zip is damaged ({error})")
    except OSError as error:
        refuse(str(path), f"it cannot be copied ({error})", "Check permissions and space left.")
    return load_bundle(place, verify=False)


def export_zip(bundle: Bundle, path: str | os.PathLike[str]) -> Path:
    """Pack ``bundle`` as a .zip that ``import_bundle`` takes; the same bundle, the same bytes.

    Not compressed: weights hardly shrink, and compressors differ between systems.

    Raises
    ------
    BundleError : the folder holds what a bundle must not, or the .zip cannot be written.
    """
    target = absolute_folder(path)
    load_bundle(bundle.folder)
    try:
        with (
            open_source(bundle.folder) as found,
            atomic_file(target) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
        ):
            for entry in sorted(found.entries, key=lambda entry: entry.path):
                info = zipfile.ZipInfo(f"{bundle.name}/{entry.path}", _DATE)
                info.file_size = entry.size  # beyond 2 GiB the .zip needs its wide fields
                info.create_system = 3  # Unix; else the writing system would show
                info.external_attr = 0o100644 << 16
                with entry.open() as reading, archive.open(info, "w") as writing:
                    shutil.copyfileobj(reading, writing, 1 << 20)
    except OSError as error:
        raise BundleError(
            f"The file {target} cannot be written ({error}).",
            "Check the folder's permissions and the space left.",
        ) from error
    return target


def _copy(entry: Entry, content: Path) -> None:
    path = content / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with entry.open() as reading, path.open("xb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)


def _check_networks(bundle: Bundle, called: str) -> None:
    try:
        from KDSegmentationLogic.bundles.weights import check_networks
    except (ImportError, OSError):  # torch is not installed, or (OSError) a library of its is not
        return
    check_networks(bundle, called)


def _refuse_unnamed(bundle: Bundle, entries: tuple[Entry, ...], called: str) -> None:
    """Weights without a checksum in the description were checked by nobody."""
    named = {member.weights for member in bundle.description.members}
    named |= {file.path for member in bundle.description.members for file in member.graphs}
    for entry in entries:
        if entry.path.lower().endswith((".safetensors", ".onnx")) and entry.path not in named:
            refuse(called, f"it holds {entry.path}, which its description does not name")
