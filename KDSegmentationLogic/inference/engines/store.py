"""Converted and compiled networks, kept on this machine so that each is made once.

Standard library only. An entry is named by the hash of all that made it, so that it never has
to be invalidated: other weights or another release are another entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from KDSegmentationLogic.files import atomic_file

_UNUSED_AFTER_SECONDS = 90 * 24 * 3600
_SUM = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """``KDSEG_CACHE``, else the system's place for a user's files that can be made again."""
    chosen = os.environ.get("KDSEG_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        return base / "KDSegmentation" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "KDSegmentation"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "KDSegmentation"


def kept(kind: str, made_of: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
    """The entry ``kind`` of these parts: read where there is a whole one, else made and kept.

    A damaged entry (it does not match the SHA-256 it begins with) is made again. Where the
    folder cannot be written, nothing is kept.
    """
    name = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:32]
    path = cache_folder() / f"{name}.{kind}"
    content = _read(path)
    if content is None:
        content = make()
        with contextlib.suppress(OSError):
            _write(path, content)
    return content


def _read(path: Path) -> bytes | None:
    try:
        stored = path.read_bytes()
        os.utime(path)  # it was used
    except OSError:
        return None
    content = stored[_SUM:]
    return content if hashlib.sha256(content).digest() == stored[:_SUM] else None


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path) as temporary:
        temporary.write_bytes(hashlib.sha256(content).digest() + content)
    oldest = time.time() - _UNUSED_AFTER_SECONDS
    for other in path.parent.glob(f"*{path.suffix}"):
        with contextlib.suppress(OSError):
            if other.stat().st_mtime < oldest:
                other.unlink()
