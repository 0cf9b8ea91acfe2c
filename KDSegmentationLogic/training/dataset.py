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
    """Read ``dataset.json`` of a Decathlon folder, and ``splits.json`` where there is one.

    ``splits.json`` holds lists of case names under train, val and test, none in two lists.
    Without it train and test are the lists ``training`` and ``test`` of ``dataset.json``, and
    val is empty.
    Cases of the test list have their labels in ``labelsTs``.

    Raises
    ------
    DatasetError : a file is missing or contradicts another.
    """
    folder = Path(folder)
    description = _read_json(folder / "dataset.json")
    try:
        channels = _by_number(description["modality"])
        labels = {int(v): str(n) for v, n in description["labels"].items() if int(v) != 0}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{folder / 'dataset.json'} lacks a usable entry: {error}.",
            "It needs 'modality' and 'labels', numbered from 0.",
        ) from None
    lists, splits = _read_splits(folder, description)
    _check_splits(splits, lists)
    cases = {case: _find_case(folder, case, lists) for case in _all(splits)}
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


def _read_splits(
    folder: Path, description: dict[str, Any]
) -> tuple[Path, dict[str, tuple[str, ...]]]:
    """The file that lists the cases, and the lists."""
    lists = folder / "splits.json"
    if lists.exists():
        content = _read_json(lists)
        return lists, {name: _names(content.get(name, []), name, lists) for name in SPLITS}
    lists = folder / "dataset.json"
    training, test = (_listed(description.get(key, []), key, lists) for key in ("training", "test"))
    return lists, {"train": training, "val": (), "test": test}


def _listed(entries: Any, key: str, lists: Path) -> tuple[str, ...]:
    """Names of the cases that ``dataset.json`` lists as paths, or as objects of image and label."""
    try:
        images = [entry["image"] if isinstance(entry, dict) else entry for entry in entries]
        names = [image.rpartition("/")[2] for image in images]
    except (TypeError, KeyError, AttributeError):
        raise DatasetError(
            f"{lists} holds no list of images under '{key}'.",
            "List paths, or objects with the paths 'image' and 'label'.",
        ) from None
    # macOS leaves a hidden file beside each that it packs
    return tuple(name.removesuffix(".nii.gz") for name in names if not name.startswith("._"))


def _names(entry: Any, split: str, lists: Path) -> tuple[str, ...]:
    if not isinstance(entry, list) or not all(isinstance(case, str) for case in entry):
        raise DatasetError(
            f"{lists} holds no list of case names under '{split}'.",
            "List the names of the cases, each in quotes.",
        )
    return tuple(entry)


def _check_splits(splits: dict[str, tuple[str, ...]], lists: Path) -> None:
    names = _all(splits)
    twice = sorted({case for case in names if names.count(case) > 1})
    if twice:
        raise DatasetError(
            f"{lists} lists {_some(twice)} more than once.",
            "A case belongs to one of train, val and test only.",
        )
    if not splits["train"]:
        key = "train" if lists.name == "splits.json" else "training"
        raise DatasetError(f"{lists} lists no case for training.", f"List some under '{key}'.")


def _find_case(folder: Path, case: str, lists: Path) -> CaseFiles:
    if not re.fullmatch(r"[\w.-]+", case):
        raise DatasetError(
            f"The case name {case!r} in {lists} is not a plain name.",
            "Use letters, digits, '_', '-' and '.'.",
        )
    for images, labels in (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")):
        image = folder / images / f"{case}.nii.gz"
        if image.is_file():
            label = folder / labels / f"{case}.nii.gz"
            return CaseFiles(case, (image,), label if label.is_file() else None)
    raise DatasetError(
        f"The case {case} of {lists} has no image in imagesTr or imagesTs.",
        "Complete the data set, or take the case off the list.",
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DatasetError(f"{path} is missing.", "Give a folder that has one.")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON: {error}.", "Correct the file.") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{path} does not hold an object.", "Correct the file.")
    return content


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
