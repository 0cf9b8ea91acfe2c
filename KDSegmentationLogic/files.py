"""Writing files so that a reader never sees half of one.

Standard library only. The new content is written beside its target and moved over it in
one step; an error or a kill on the way leaves the old content as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

_STALE_AFTER_SECONDS = 24 * 3600


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a path to write to; it becomes ``target`` when the block ends without error.

    The temporary name ends like the target's (``.nii.gz`` stays ``.nii.gz``), since
    writers choose the format by the ending. Parent folders are made. The file may be read by
    whom the umask lets read, also where a writer (safetensors) makes its files private.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with staging_folder(target.parent) as folder:
        temporary = folder / target.name
        yield temporary
        temporary.chmod(folder.stat().st_mode & 0o666)
        os.replace(temporary, target)


@contextlib.contextmanager
def staging_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder ``.writing-*`` in ``parent``; it is removed when the block ends.

    Those that runs killed more than a day ago left there are removed as well.
    """
    _remove_stale(parent)
    folder = new_folder(parent, ".writing-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_folder(parent: Path, prefix: str) -> Path:
    """Make a folder with a random name in ``parent``, with the rights that are usual there.

    ``tempfile.mkdtemp`` would make it its owner's only, and on Windows files moved out of it
    would stay so.
    """
    folder = parent / f"{prefix}{secrets.token_hex(8)}"
    folder.mkdir()
    return folder


def _remove_stale(parent: Path) -> None:
    oldest = time.time() - _STALE_AFTER_SECONDS
    for folder in parent.glob(".writing-*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_mtime < oldest:
                shutil.rmtree(folder)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` as UTF-8 with ``\\n`` line ends, atomically."""
    with atomic_file(target) as path:
        path.write_bytes(text.encode("utf-8"))


def write_if_new(target: Path, text: str) -> None:
    """Write a text file, unless it holds just that: a run that has nothing to do does nothing."""
    if not target.is_file() or target.read_bytes() != text.encode("utf-8"):
        write_text(target, text)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
