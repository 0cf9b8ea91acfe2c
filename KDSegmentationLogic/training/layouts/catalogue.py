"""Every layout, and a data set in whichever it is in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.training.folds import split_by_group
from KDSegmentationLogic.training.layouts import acdc, brats2018, decathlon, nnunet_raw, segthor
from KDSegmentationLogic.training.layouts.base import UNLABELLED, Dataset, Layout
from KDSegmentationLogic.training.layouts.reading import LISTS

LAYOUTS: tuple[Layout, ...] = (
    nnunet_raw.LAYOUT,
    decathlon.LAYOUT,
    segthor.LAYOUT,
    acdc.LAYOUT,
    brats2018.LAYOUT,
)

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2


def layout_of(folder: Path) -> Layout:
    """The layout that a folder is in.

    Raises
    ------
    DatasetError : none of those known.
    """
    for layout in LAYOUTS:
        if layout.recognise(folder):
            return layout
    signs = "; ".join(f"{layout.sign} ({layout.name})" for layout in LAYOUTS)
    raise DatasetError(f"{folder} is in no layout that is known.", f"Known are: {signs}.")


def read_dataset(folder: Path, complete: bool = True) -> Dataset:
    """Read a data set in any layout.

    complete : draw the lists that neither ``splits.json`` nor the layout gives.
    """
    dataset = layout_of(folder).read(folder)
    return with_all_lists(dataset) if complete else dataset


def with_all_lists(dataset: Dataset) -> Dataset:
    """Draw the lists val and test from the training cases where the set comes without.

    Test cases without labels cannot test: they become unlabelled ones. A tenth of the labelled
    cases is then for validation and a fifth for testing, by patient, always the same ones.
    ``splits.json`` is taken as it is.
    """
    if (dataset.folder / LISTS).exists():
        return dataset
    splits = dict(dataset.splits)
    bare = tuple(name for name in splits["test"] if dataset.cases[name].labels is None)
    splits[UNLABELLED] = (*splits.get(UNLABELLED, ()), *bare)
    splits["test"] = tuple(name for name in splits["test"] if name not in bare)
    shares = {"val": VALIDATION_SHARE, "test": TEST_SHARE}
    wanted = {name: share for name, share in shares.items() if not splits[name]}
    if wanted:
        splits.update(split_by_group(dataset.groups_of("train"), wanted, rest="train"))
        held = {dataset.groups[name] for split in wanted for name in splits[split]}
        # what an ensemble says of a patient must not teach who is then tested on that patient
        splits[UNLABELLED] = tuple(n for n in splits[UNLABELLED] if dataset.groups[n] not in held)
    return replace(dataset, splits=splits, drawn=tuple(wanted))
