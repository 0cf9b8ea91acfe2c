"""A folder that appears in one step, or not at all.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from KDSegmentationLogic.bundles.bundle import METADATA
from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.files import new_folder, staging_folder


def existing(target: Path) -> Path | None:
    """What stands at ``target``, also under a name that differs in case only.

    Windows and macOS take the two for one, and models shall move between systems.
    """
    if not target.parent.is_dir():
        return None
    wanted = target.name.casefold()
    found = (path for path in target.parent.iterdir() if path.name.casefold() == wanted)
    return next(found, None)


def refuse_existing(target: Path, replace: bool) -> None:
    """Raise BundleError where ``target`` exists, unless it is a bundle that may be replaced."""
    old = existing(target)
    if old is None:
        return
    if not replace:
        raise BundleError(f"The folder {old} exists.", "Choose another name or allow replacing it.")
    if not (old / METADATA).is_file():
        raise BundleError(
            f"The folder {old} is no bundle and is not replaced.", "Choose another name."
        )


@contextlib.contextmanager
def landing(target: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes ``target`` when the block ends without error.

    What stood at ``target`` is kept until the new folder stands there, and comes back where
    that fails. On an error nothing is left behind, made parent folders included.
    """
    old = existing(target)
    made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with staging_folder(target.parent) as staging:
            content = staging / target.name
            content.mkdir()
            yield content
            if old is None:
                os.rename(content, target)
            else:
                _exchange(old, content, target)
        made = []
    finally:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _exchange(old: Path, new: Path, target: Path) -> None:
    # Not inside the staging folder: a kill between the two steps leaves the old one to find.
    aside = new_folder(target.parent, ".replaced-")
    try:
        os.rename(old, aside / old.name)
        try:
            os.rename(new, target)
        except OSError:
            os.rename(aside / old.name, old)
            raise
    except OSError:
        with contextlib.suppress(OSError):
            aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)
