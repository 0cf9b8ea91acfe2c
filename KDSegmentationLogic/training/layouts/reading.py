"""What the readers of all layouts share: hidden files, JSON, lists of cases, patients."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.imaging.pictures import PICTURES
from KDSegmentationLogic.training.layouts.base import (
    SPLITS,
    UNLABELLED,
    About,
    CaseFiles,
    Dataset,
)

LISTS = "splits.json"

Splits = dict[str, tuple[str, ...]]


def visible(folder: Path) -> list[Path]:
    """What a folder holds, sorted; nothing where it is missing.

    macOS leaves a hidden file beside each that it packs.
    """
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds. Raises ``DatasetError``."""
    if not path.is_file():
        raise DatasetError(f"{path} is missing.", "Give a folder that has one.")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON: {error}.", "Correct the file.") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{path} does not hold an object.", "Correct the file.")
    return content


def read_lists(folder: Path) -> Splits | None:
    """The lists of ``splits.json``: train, val, test and unlabelled; none without the file."""
    path = folder / LISTS
    if not path.exists():
        return None
    content = read_json(path)
    return {name: _names(content.get(name, []), name, path) for name in (*SPLITS, UNLABELLED)}


def check_lists(splits: Splits, lists: Path, training: str = "train") -> None:
    """Refuse a case in two lists, and a set without a case to train on.

    training : the entry of the file ``lists`` that lists the training cases.
    """
    names = [case for entries in splits.values() for case in entries]
    doubled = twice(names)
    if doubled:
        raise DatasetError(
            f"{lists} lists {some(doubled)} more than once.",
            "A case belongs to one of train, val and test only.",
        )
    if not splits["train"]:
        raise DatasetError(f"{lists} lists no case for training.", f"List some under '{training}'.")


def listed_cases(
    folder: Path, cases: Mapping[str, CaseFiles], own: Splits
) -> tuple[dict[str, CaseFiles], Splits]:
    """The cases on disk and their lists: those of ``splits.json``, else the layout's own."""
    lists = read_lists(folder)
    if lists is None:
        return dict(cases), own
    check_lists(lists, folder / LISTS)
    chosen = {}
    for name in (case for entries in lists.values() for case in entries):
        if name not in cases:
            raise DatasetError(
                f"The case {name} of {folder / LISTS} has no image.",
                "Complete the data set, or take the case off the list.",
            )
        chosen[name] = cases[name]
    return chosen, lists


def assembled(
    folder: Path,
    channels: tuple[str, ...],
    labels: dict[int, str],
    listed: tuple[dict[str, CaseFiles], Splits],
    patients: Mapping[str, str],
    about: About,
) -> Dataset:
    """The data set of what a layout's reader has found.

    Parameters
    ----------
    listed : the cases and their lists. patients : of those cases whose patient the layout tells.
    """
    cases, splits = listed
    groups = read_groups(folder, cases, patients)
    check_groups(splits, groups, folder)
    dimensions = image_dimensions(next(iter(cases.values())).images[0])
    return Dataset(folder.name, folder, channels, labels, cases, splits, groups, dimensions, about)


def read_groups(folder: Path, cases: Iterable[str], own: Mapping[str, str]) -> dict[str, str]:
    """Each case's patient: from "groups" in ``splits.json``, else the layout's own, else itself."""
    path = folder / LISTS
    given = read_json(path).get("groups", {}) if path.exists() else {}
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given.values()):
        raise DatasetError(
            f"{path} holds no object of case and patient under 'groups'.",
            "Give the patient of each case, both in quotes.",
        )
    return {case: given.get(case, own.get(case, case)) for case in cases}


def check_groups(splits: Splits, groups: Mapping[str, str], folder: Path) -> None:
    """Refuse a ``splits.json`` with a patient in two lists: results would look too good.

    Lists that come with the data set are not judged: they cannot be changed.
    """
    lists = folder / LISTS
    if not lists.exists():
        return
    seen: dict[str, str] = {}
    for name in (*SPLITS, UNLABELLED):
        for case in splits.get(name, ()):
            other = seen.setdefault(groups[case], name)
            if other != name:
                raise DatasetError(
                    f"{lists} has the patient {groups[case]} in {other} and in {name}.",
                    "Keep all cases of a patient in one list.",
                )


def check_name(case: str, source: Path) -> None:
    """Refuse a case whose name could leave a folder, or cannot be a file's."""
    if not re.fullmatch(r"[\w.-]+", case) or case.startswith("."):
        raise DatasetError(
            f"The case name {case!r} in {source} is not a plain name.",
            "Use letters, digits, '_', '-' and '.'.",
        )


def check_some(cases: Mapping[str, CaseFiles], folder: Path, wanted: str) -> None:
    """Refuse a folder without cases. ``wanted``: the files that make one."""
    if not cases:
        raise DatasetError(f"{folder} holds no case.", f"A case needs {wanted}.")


def image_dimensions(path: Path) -> int:
    """2 for pictures and flat files, else 3; from the header alone."""
    if path.name.lower().endswith(PICTURES):
        return 2
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return 3  # reading the case says in full what is wrong with the file
    return 2 if reader.GetDimension() == 2 else 3


def twice(names: Sequence[str]) -> list[str]:
    """The names that stand more than once, sorted."""
    return sorted({name for name in names if names.count(name) > 1})


def some(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _names(entry: Any, split: str, lists: Path) -> tuple[str, ...]:
    if not isinstance(entry, list) or not all(isinstance(case, str) for case in entry):
        raise DatasetError(
            f"{lists} holds no list of case names under '{split}'.",
            "List the names of the cases, each in quotes.",
        )
    return tuple(entry)
