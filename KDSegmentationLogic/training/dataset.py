"""A data set by its name, as a list of cases, whatever the layout of its folder."""

from __future__ import annotations

from pathlib import Path

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.training.layouts.base import SPLITS, CaseFiles, Dataset
from KDSegmentationLogic.training.layouts.catalogue import read_dataset
from KDSegmentationLogic.training.layouts.decathlon import read_decathlon

__all__ = [
    "SPLITS",
    "CaseFiles",
    "Dataset",
    "find_dataset",
    "read_dataset",
    "read_decathlon",
]


def find_dataset(name: str, data_folder: Path, complete: bool = True) -> Dataset:
    """The data set called ``name`` below the folder given by ``--data`` or ``KDSEG_DATA``.

    complete : draw the lists that the data set leaves open (``catalogue.with_all_lists``).

    Raises
    ------
    DatasetError : it is not there, in no known layout, or contradicts itself.
    """
    folder = Path(data_folder) / name
    if not folder.is_dir():
        raise DatasetError(
            f"The data set {name} is not in {data_folder}.",
            "Give the folder that holds it with --data or KDSEG_DATA.",
        )
    return read_dataset(folder, complete)
