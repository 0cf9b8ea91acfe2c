"""The layout of the Medical Segmentation Decathlon.

    dataset.json    modality and labels by number; the lists training and test
    imagesTr/       <case>.nii.gz; several modalities are the file's fourth axis
    labelsTr/       <case>.nii.gz
    imagesTs/       images without labels; where there are some, they are in labelsTs/

Simpson et al. 2019, arXiv:1902.09063.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.training.layouts.base import UNLABELLED, About, CaseFiles, Dataset, Layout
from KDSegmentationLogic.training.layouts.patients import known_groups
from KDSegmentationLogic.training.layouts.reading import (
    LISTS,
    Splits,
    assembled,
    check_lists,
    check_name,
    read_json,
    read_lists,
)

DESCRIPTION = "dataset.json"
_ENDING = ".nii.gz"


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
    description = read_json(folder / DESCRIPTION)
    try:
        channels = _by_number(description["modality"])
        labels = {int(v): str(n) for v, n in description["labels"].items() if int(v) != 0}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{folder / DESCRIPTION} lacks a usable entry: {error}.",
            "It needs 'modality' and 'labels', numbered from 0.",
        ) from None
    lists, splits = _lists(folder, description)
    names = [case for entries in splits.values() for case in entries]
    cases = {case: _find_case(folder, case, lists) for case in names}
    patients = known_groups(folder.name, cases)
    return assembled(folder, channels, labels, (cases, splits), patients, about(description))


def about(description: dict[str, Any]) -> About:
    """What ``dataset.json`` says of the data set in words."""

    def said(*keys: str) -> str:
        return next((str(description[key]) for key in keys if description.get(key)), "")

    return About(said("name"), said("description"), said("reference"), said("licence", "license"))


def _recognise(folder: Path) -> bool:
    path = folder / DESCRIPTION
    return path.is_file() and "channel_names" not in read_json(path)


def _by_number(entries: dict[str, str]) -> tuple[str, ...]:
    return tuple(str(entries[key]) for key in sorted(entries, key=int))


def _lists(folder: Path, description: dict[str, Any]) -> tuple[Path, Splits]:
    """The file that lists the cases, and the lists."""
    given = read_lists(folder)
    if given is not None:
        check_lists(given, folder / LISTS)
        return folder / LISTS, given
    lists = folder / DESCRIPTION
    training, test = (_listed(description.get(key, []), key, lists) for key in ("training", "test"))
    own: Splits = {"train": training, "val": (), "test": test, UNLABELLED: ()}
    check_lists(own, lists, "training")
    return lists, own


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
    return tuple(name.removesuffix(_ENDING) for name in names if not name.startswith("._"))


def _find_case(folder: Path, case: str, lists: Path) -> CaseFiles:
    check_name(case, lists)
    for images, labels in (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")):
        image = folder / images / f"{case}{_ENDING}"
        if image.is_file():
            label = folder / labels / f"{case}{_ENDING}"
            return CaseFiles(case, (image,), label if label.is_file() else None)
    raise DatasetError(
        f"The case {case} of {lists} has no image in imagesTr or imagesTs.",
        "Complete the data set, or take the case off the list.",
    )


LAYOUT = Layout(
    "Medical Segmentation Decathlon",
    "a dataset.json with 'modality'",
    _recognise,
    read_decathlon,
)
