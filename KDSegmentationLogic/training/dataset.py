"""Data sets in the Medical Segmentation Decathlon's layout, as lists of cases."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from KDSegmentationLogic.errors import DatasetError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class CaseFiles:
    """One case: its name, one image a channel, and its labels where there are any."""

    name: str
    images: tuple[Path, ...]
    labels: Path | None


@dataclass(frozen=True)
class Dataset:
    """A data set on disk. ``labels``: value to name, without background."""

    name: str
    folder: Path
    channels: tuple[str, ...]
    labels: dict[int, str]
    cases: dict[str, CaseFiles]
    splits: dict[str, tuple[str, ...]]

    def split(self, name: str) -> list[CaseFiles]:
        """The cases of "train", "val" or "test"."""
        return [self.cases[case] for case in self.splits[name]]


def read_decathlon(folder: Path) -> Dataset:
    """Read ``dataset.json`` and ``splits.json`` of a Decathlon folder.

    ``splits.json`` holds lists of case names under train, val and test, none in two lists.
    Cases of the test list have their labels in ``labelsTs``.

    Raises
    ------
    DatasetError : a file is missing or contradicts another.
    """
    folder = Path(folder)
    description = _read_json(folder / "dataset.json")
    splits_file = _read_json(folder / "splits.json")
    try:
        channels = _by_number(description["modality"])
        labels = {int(v): str(n) for v, n in description["labels"].items() if int(v) != 0}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{folder / 'dataset.json'} lacks a usable entry: {error}.",
            "It needs 'modality' and 'labels', numbered from 0.",
        ) from None
    splits = {name: _names(splits_file.get(name, []), name, folder) for name in SPLITS}
    _check_splits(splits, folder)
    cases = {case: _find_case(folder, case) for case in _all(splits)}
    return Dataset(folder.name, folder, channels, labels, cases, splits)


def find_dataset(name: str, data_folder: Path) -> Dataset:
    """The data set called ``name`` below the folder given by ``--data`` or ``KDSEG_DATA``."""
    folder = Path(data_folder) / name
    if not folder.is_dir():
        raise DatasetError(
            f"The data set {name} is not in {data_folder}.",
            "Give the folder that holds it with --data or KDSEG_DATA.",
        )
    return read_decathlon(folder)


def _by_number(entries: dict[str, str]) -> tuple[str, ...]:
    return tuple(str(entries[key]) for key in sorted(entries, key=int))


def _all(splits: dict[str, tuple[str, ...]]) -> list[str]:
    return [case for name in SPLITS for case in splits[name]]


def _names(entry: Any, split: str, folder: Path) -> tuple[str, ...]:
    if not isinstance(entry, list) or not all(isinstance(case, str) for case in entry):
        raise DatasetError(
            f"{folder / 'splits.json'} holds no list of case names under '{split}'.",
            "List the names of the cases, each in quotes.",
        )
    return tuple(entry)


def _check_splits(splits: dict[str, tuple[str, ...]], folder: Path) -> None:
    names = _all(splits)
    twice = sorted({case for case in names if names.count(case) > 1})
    if twice:
        raise DatasetError(
            f"{folder / 'splits.json'} lists {_some(twice)} more than once.",
            "A case belongs to one of train, val and test only.",
        )
    if not splits["train"]:
        raise DatasetError(
            f"{folder / 'splits.json'} lists no case for training.", "List some under 'train'."
        )


def _find_case(folder: Path, case: str) -> CaseFiles:
    if not re.fullmatch(r"[\w.-]+", case):
        raise DatasetError(
            f"The case name {case!r} in {folder / 'splits.json'} is not a plain name.",
            "Use letters, digits, '_', '-' and '.'.",
        )
    for images, labels in (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")):
        image = folder / images / f"{case}.nii.gz"
        if image.is_file():
            label = folder / labels / f"{case}.nii.gz"
            return CaseFiles(case, (image,), label if label.is_file() else None)
    raise DatasetError(
        f"The case {case} of {folder / 'splits.json'} has no image in imagesTr or imagesTs.",
        "Complete the data set, or take the case off the list.",
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DatasetError(f"{path} is missing.", "The folder needs dataset.json and splits.json.")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON: {error}.", "Correct the file.") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{path} does not hold an object.", "Correct the file.")
    return content


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
