"""Which models are installed, and finding one by name or path.

Standard library only. Models come with the package or are imported into the user's folder;
of two with one name, the user's is taken.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from KDSegmentationLogic.bundles.bundle import Bundle, absolute_folder, load_bundle
from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.resources import models_folder


def user_models_folder() -> Path:
    """Where imported models go: ``KDSEG_MODELS``, else the system's place for a user's data.

    It need not exist.
    """
    chosen = os.environ.get("KDSEG_MODELS")
    if chosen:
        return absolute_folder(chosen)
    return _user_data_folder() / "KDSegmentation" / "Models"


def list_bundles() -> tuple[list[Bundle], list[BundleError]]:
    """The installed bundles by name, and what is wrong with those that cannot be used.

    Quick: weights are not hashed.
    """
    good, problems = [], []
    try:
        models_folder()
    except BundleError as error:
        problems.append(error)
    for folder in _installed_folders():
        try:
            good.append(load_bundle(folder, verify=False))
        except BundleError as error:
            problems.append(error)
        except (ValueError, RecursionError) as error:
            # One damaged folder, in whatever way, must not hide the others.
            problems.append(
                BundleError(f"The bundle {folder} cannot be used: {error}.", "Remove the folder.")
            )
    return good, problems


def installed_bundles() -> list[Bundle]:
    """The installed bundles that can be used, by name."""
    return list_bundles()[0]


def find_bundle(name_or_path: str | os.PathLike[str], verify: bool = True) -> Bundle:
    """The installed bundle of that name, or the one in that folder.

    Raises
    ------
    BundleError : there is neither, or it cannot be used.
    """
    wanted = os.fspath(name_or_path)
    for folder in _installed_folders():
        if folder.name == wanted:
            return load_bundle(folder, verify)
    path = Path(wanted).expanduser()
    if wanted and path.is_dir():
        return load_bundle(path, verify)
    if path.is_file():
        raise BundleError(
            f"{path} is a file, not an installed model or a bundle's folder.",
            f"Import it first if it is a bundle's .zip: kdseg models import {path}",
        )
    names = ", ".join(folder.name for folder in _installed_folders()) or "none"
    raise BundleError(
        f"No model is called {wanted!r}, and there is no such folder.",
        f"Choose an installed model ({names}) or give the path of a bundle's folder.",
    )


def _installed_folders() -> list[Path]:
    """Folders in both places, by name; names with a dot in front are unfinished writing.

    A clone of the source has no models of its own; the user's can be used all the same.
    """
    found: dict[str, Path] = {}
    places = [user_models_folder()]
    with contextlib.suppress(BundleError):
        places.insert(0, models_folder())
    for place in places:
        if place.is_dir():
            folders = (p for p in place.iterdir() if p.is_dir() and not p.name.startswith("."))
            found.update((folder.name, folder) for folder in folders)
    return [found[name] for name in sorted(found)]


def _user_data_folder() -> Path:
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    return Path(data) if Path(data).is_absolute() else home / ".local" / "share"
