"""Which of a study's channels an arm sees, and whether a data set has them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from KDSegmentationLogic.bundles.description import Channel
from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.training.dataset import Dataset, find_dataset

if TYPE_CHECKING:
    from KDSegmentationLogic.studies.definition import Study


def numbers_of(channels: Sequence[Channel], names: Collection[str]) -> tuple[int, ...]:
    """Where the named ones stand among the channels, in their order; empty: all of them."""
    numbers = tuple(i for i, channel in enumerate(channels) if channel.name in names)
    return () if len(numbers) == len(channels) else numbers


def dataset_of(study: Study, data: Path) -> Dataset:
    """The study's data set below a folder, with its channels.

    Raises
    ------
    DatasetError : it is not there; it has other channels than the study, or in another order.
    """
    dataset = find_dataset(study.dataset, data)
    found, wanted = dataset.channels, tuple(channel.name for channel in study.channels)
    if len(found) != len(wanted):
        raise DatasetError(
            f"The study has the channels {', '.join(wanted)}, the data set {dataset.name} has "
            f"{', '.join(found)}.",
            "List all channels of the data set in the study; an arm takes some with 'channels'.",
        )
    # names may differ, but not stand for each other
    places = {name.casefold(): place for place, name in enumerate(found)}
    if any(places.get(name.casefold(), place) != place for place, name in enumerate(wanted)):
        raise DatasetError(
            f"The data set {dataset.name} has its channels in the order {', '.join(found)}.",
            "List the study's channels in that order, by those names.",
        )
    return dataset
