"""The raw layout of nnU-Net v2.

    dataset.json                            channel_names, labels by name, file_ending
    imagesTr/, imagesTs/                    <case>_0000<ending>, one file a channel
    labelsTr/, where there are some labelsTs/   <case><ending>

Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.imaging.reading import READERS
from KDSegmentationLogic.training.layouts.base import UNLABELLED, CaseFiles, Dataset, Layout
from KDSegmentationLogic.training.layouts.decathlon import DESCRIPTION, about
from KDSegmentationLogic.training.layouts.patients import known_groups
from KDSegmentationLogic.training.layouts.reading import (
    assembled,
    check_name,
    check_some,
    listed_cases,
    read_json,
    some,
    visible,
)


def read_nnunet_raw(folder: Path) -> Dataset:
    """Read a raw nnU-Net v2 folder, and ``splits.json`` where there is one.

    Without it the cases of imagesTr are for training; those of imagesTs are for testing where
    labelsTs has their labels, and unlabelled where not.

    Raises
    ------
    DatasetError : a file is missing or contradicts another; labels are regions, or one is to
        be ignored.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION
    description = read_json(path)
    channels = _channels(description.get("channel_names"), path)
    labels = _labels(description.get("labels"), path)
    ending = description.get("file_ending")
    if not isinstance(ending, str) or ending.lower() not in READERS:
        raise DatasetError(
            f"{path} names no file_ending that is read: {ending!r}.",
            f"Use one of {' '.join(READERS)}.",
        )
    training = _cases(folder, "Tr", ending, channels)
    held_back = _cases(folder, "Ts", ending, channels)
    both = sorted(set(training) & set(held_back))
    if both:
        raise DatasetError(
            f"{folder} has {some(both)} in imagesTr and in imagesTs.",
            "Give a case one place and a name of its own.",
        )
    check_some(training, folder / "imagesTr", f"a file <case>_0000{ending}")
    own = {
        "train": tuple(training),
        "val": (),
        "test": tuple(name for name, case in held_back.items() if case.labels),
        UNLABELLED: tuple(name for name, case in held_back.items() if not case.labels),
    }
    cases, splits = listed_cases(folder, {**training, **held_back}, own)
    patients = known_groups(folder.name, cases)
    return assembled(folder, channels, labels, (cases, splits), patients, about(description))


def _recognise(folder: Path) -> bool:
    path = folder / DESCRIPTION
    return path.is_file() and "channel_names" in read_json(path)


def _channels(entries: Any, path: Path) -> tuple[str, ...]:
    try:
        numbers = sorted(entries, key=int)
        if [int(number) for number in numbers] != list(range(len(numbers))) or not numbers:
            raise ValueError
        return tuple(str(entries[number]) for number in numbers)
    except (TypeError, ValueError):
        raise DatasetError(
            f"{path} has no usable 'channel_names'.", "Number the channels from 0: {'0': 'CT'}."
        ) from None


def _labels(entries: Any, path: Path) -> dict[int, str]:
    """Value to name without background."""
    if not isinstance(entries, dict):
        raise DatasetError(f"{path} has no 'labels'.", "Give the value of each label by its name.")
    labels: dict[int, str] = {}
    for name, value in entries.items():
        if isinstance(value, (list, tuple)):
            raise DatasetError(
                f"{path} makes {name!r} a region of several labels, and regions overlap.",
                "Give each label one value of its own; the study segments labels that exclude"
                " each other.",
            )
        if str(name).lower() == "ignore":
            raise DatasetError(
                f"{path} has voxels to ignore, which no loss here leaves out.",
                "Label these voxels, or leave out their cases.",
            )
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value in labels or value < 0:
            raise DatasetError(
                f"{path} gives the label {name!r} the value {value!r}.",
                "Give each label a whole number of its own, and 0 to background.",
            )
        labels[value] = str(name)
    labels.pop(0, None)
    if not labels:
        raise DatasetError(f"{path} names no label but background.", "Name what is segmented.")
    return labels


def _cases(folder: Path, end: str, ending: str, channels: tuple[str, ...]) -> dict[str, CaseFiles]:
    """The cases of imagesTr or imagesTs by name."""
    pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
    found: dict[str, dict[int, Path]] = {}
    place = folder / f"images{end}"
    for path in visible(place):
        match = pattern.fullmatch(path.name)
        if match:
            found.setdefault(match[1], {})[int(match[2])] = path
    cases = {}
    for name, images in found.items():
        check_name(name, place)
        for number in sorted(set(range(len(channels))) ^ set(images)):
            if number < len(channels):
                raise DatasetError(
                    f"The case {name} lacks the channel {channels[number]}:"
                    f" {place / f'{name}_{number:04}{ending}'} is missing.",
                    "Complete the case, or remove it.",
                )
            raise DatasetError(
                f"{images[number]} is a channel that dataset.json does not name.",
                "Name it under channel_names, or remove the file.",
            )
        label = folder / f"labels{end}" / f"{name}{ending}"
        ordered = tuple(images[number] for number in range(len(channels)))
        cases[name] = CaseFiles(name, ordered, label if label.is_file() else None)
    return cases


LAYOUT = Layout(
    "nnU-Net v2 raw",
    "a dataset.json with 'channel_names'",
    _recognise,
    read_nnunet_raw,
)
