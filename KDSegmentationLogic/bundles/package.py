"""What would land on disk from a .zip or a folder, and whether it may.

Standard library only. Nothing is written here: a ``Source`` is checked whole before its
first byte is copied.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from KDSegmentationLogic.bundles.bundle import LICENCE, METADATA, WORKFLOW, absolute_folder, refuse
from KDSegmentationLogic.bundles.paths import path_problem

# Twenty members, each with two files, are 45 files.
MOST_FILES = 200
# Twenty float32 members of 100 million weights each, the largest ensembles in use.
MOST_BYTES = 8 * 1024**3
# Weights shrink to 0.9 of their size and JSON to a tenth; a bomb is near deflate's 1:1030.
MOST_RATIO = 100
_RATIO_FROM_BYTES = 1024**2

_ENDINGS = (".safetensors", ".onnx", ".json", ".md", ".txt")
_CODE = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".ts", ".py", ".pyc", ".npy", ".npz", ".joblib")
_NAMES = (LICENCE, "NOTICE")
# What macOS and Windows leave in folders and archives on their own.
_LITTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")

_REPACK = "Ask its authors for a bundle made by kdseg export."


@dataclass(frozen=True)
class Entry:
    """A file to land: its path inside the bundle, its size in bytes, how to read it."""

    path: str
    size: int
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Source:
    """The checked files of one bundle, and the name it will have."""

    name: str
    entries: tuple[Entry, ...]


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The bundle in the folder or .zip ``path``, its file list checked.

    Raises
    ------
    BundleError : a file that must not land, a damaged archive, no bundle or several.
    """
    called = str(path)
    if path.is_dir():
        yield _checked(absolute_folder(path).name, _folder_entries(path), called)
    elif not path.is_file():
        refuse(called, "there is no such file or folder", "Check the path.")
    else:
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            refuse(called, f"it is not a .zip file or is cut short ({error})")
        with archive:
            entries = _zip_entries(archive, called)
            tops = {entry.path.split("/")[0] for entry in entries}
            if METADATA in (entry.path for entry in entries):
                yield _checked(path.stem, entries, called)
            else:
                _check_one_top(entries, called)
                (top,) = tops
                inner = [Entry(e.path[len(top) + 1 :], e.size, e.open) for e in entries]
                yield _checked(top, inner, called)


def _check_one_top(entries: list[Entry], called: str) -> None:
    bundles = [entry.path for entry in entries if entry.path.endswith("/" + METADATA)]
    if not bundles:
        refuse(called, f"it holds no {METADATA}", "Choose the .zip of a model bundle.")
    if len(bundles) > 1:
        refuse(called, f"it holds {len(bundles)} bundles", "Import them one by one.")
    top = bundles[0][: -len(METADATA)]
    beside = next((e.path for e in entries if not e.path.startswith(top)), None)
    if beside or top.count("/") > 1:
        what = f"it holds {beside} beside the bundle" if beside else "the bundle lies too deep"
        refuse(called, what, "Pack the bundle's folder alone.")


def _checked(name: str, entries: list[Entry], called: str) -> Source:
    problem = "holds a slash" if "/" in name else path_problem(name)
    if problem:
        refuse(called, f"its name {name!r} {problem}", "Rename it.")
    if METADATA not in (entry.path for entry in entries):
        refuse(called, f"{METADATA} is missing", "Choose the folder that holds configs and models.")
    if len(entries) > MOST_FILES:
        refuse(called, f"it holds {len(entries)} files, more than {MOST_FILES}")
    if sum(entry.size for entry in entries) > MOST_BYTES:
        refuse(called, f"it is larger than {MOST_BYTES >> 30} GiB unpacked")
    files = [entry.path for entry in entries]
    for path in files:
        _check_type(path, called)
    _check_unique(files, called)
    return Source(name, tuple(entries))


def _check_unique(files: list[str], called: str) -> None:
    """No file twice, none that is a folder too, no names that differ in case only."""
    if len(set(files)) < len(files):
        twice = next(path for path in files if files.count(path) > 1)
        refuse(called, f"it holds {twice} twice", _REPACK)
    folders = {str(p) for path in files for p in PurePosixPath(path).parents} - {"."}
    both = folders & set(files)
    if both:
        refuse(called, f"it holds {min(both)} as a file and as a folder", _REPACK)
    seen: dict[str, str] = {}
    for path in (*folders, *files):
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            refuse(called, f"it holds {path} and {other}, the same on some systems", _REPACK)


def _check_type(path: str, called: str) -> None:
    """Refuse what a bundle has no use for, code before all."""
    lower = path.lower()
    if lower.endswith(_CODE):
        refuse(called, f"it holds {path}, a kind of file that can run code when loaded", _REPACK)
    if not lower.endswith(_ENDINGS) and path not in _NAMES:
        refuse(called, f"it holds {path}, a kind of file that bundles do not have", _REPACK)
    if lower.startswith("configs/") and path not in (METADATA, WORKFLOW):
        refuse(called, f"it holds {path}, a workflow that MONAI would run as code", _REPACK)


def _check_path(path: str, called: str) -> None:
    problem = path_problem(path)
    if problem:
        refuse(called, f"the path {path!r} in it {problem}", _REPACK)


def _is_litter(path: str) -> bool:
    return any(part in _LITTER for part in path.split("/"))


def _folder_entries(folder: Path) -> list[Entry]:
    entries: list[Entry] = []
    called = str(folder)
    for place, folders, files in os.walk(folder, onerror=_raise):
        for name in (*folders, *files):
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if _is_litter(relative):
                continue
            _check_path(relative, called)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                entries.append(Entry(relative, path.stat().st_size, _reader(path)))
            elif not stat.S_ISDIR(mode):
                refuse(called, f"it holds {relative}, a link or no ordinary file", _REPACK)
            if len(entries) > MOST_FILES:
                return entries
    return entries


def _reader(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


def _raise(error: OSError) -> None:
    raise error


def _zip_entries(archive: zipfile.ZipFile, called: str) -> list[Entry]:
    entries: list[Entry] = []
    for info in archive.infolist():
        # ZipInfo.filename is already tidied: cut at NUL, backslashes turned on Windows.
        path = info.orig_filename
        if _is_litter(path):
            continue
        _check_path(path.removesuffix("/"), called)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            refuse(called, f"it holds {path}, a link or no ordinary file", _REPACK)
        if path.endswith("/"):
            continue
        if info.flag_bits & 1:
            refuse(called, f"{path} in it is encrypted", "Ask for a bundle without password.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            refuse(called, f"{path} in it is packed by another method than deflate", _REPACK)
        if info.file_size > max(_RATIO_FROM_BYTES, MOST_RATIO * info.compress_size):
            refuse(called, f"{path} in it unpacks to more than {MOST_RATIO} times its size")
        entries.append(Entry(path, info.file_size, partial(archive.open, info)))
    return entries
