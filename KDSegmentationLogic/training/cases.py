"""Cases in memory on the network's grid, through the same ``preprocess`` as everything else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import Channel, Grid
from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.imaging.geometry import has_physical_spacing, same_grid, to_orientation
from KDSegmentationLogic.imaging.reading import read_channels, read_labels
from KDSegmentationLogic.inference.preprocess import preprocess, preprocess_labels
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.cache import Arrays, CaseCache
from KDSegmentationLogic.training.layouts.base import CaseFiles


@dataclass(frozen=True)
class TrainingCase:
    """image: float32 [c, z, y, x]; labels: class indices, uint8 [z, y, x], 0 background;
    from a teacher where there is one, soft: its probabilities, uint16 [k, z, y, x], and
    deviation: the standard deviation over its members, uint8, both as ``quantised`` has them;
    spacing: (z, y, x), see ``spacing_of``.

    Its image holds all channels of a study; a network may see only some of them (``seen_by``)."""

    name: str
    image: np.ndarray
    labels: np.ndarray
    soft: np.ndarray | None = None
    deviation: np.ndarray | None = None
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)

    def seen_by(self, sees: Sequence[int]) -> np.ndarray:
        """The image, float32 [c, z, y, x], with these channels alone; with all where none is named.

        A copy where some are left out.
        """
        return self.image[list(sees)] if sees else self.image

    def of_classes(self, knows: Sequence[int]) -> TrainingCase:
        """With these classes alone, numbered anew from 1; all others are background.

        With all of them where none is named.
        """
        if not knows:
            return self
        number = np.zeros(max(*knows, int(self.labels.max())) + 1, np.uint8)
        number[list(knows)] = np.arange(1, len(knows) + 1)
        return replace(self, labels=number[self.labels])

    def with_soft(self, soft: np.ndarray, deviation: np.ndarray | None = None) -> TrainingCase:
        if soft.shape[1:] != self.labels.shape:
            raise DatasetError(
                f"The soft target of {self.name} has the shape {soft.shape[1:]}, "
                f"its labels have {self.labels.shape}.",
                "Compute the soft targets again.",
            )
        return replace(self, soft=soft, deviation=deviation)


def load_cases(
    files: Sequence[CaseFiles],
    channels: Sequence[Channel],
    grid: Grid,
    values: Sequence[int],
    monitor: Monitor,
    cache: Path | None = None,
    needs_labels: bool = True,
) -> list[TrainingCase]:
    """Read and preprocess all cases.

    Parameters
    ----------
    values : label value of each class after background; class i + 1 is ``values[i]``.
    cache : a run's folder, to keep preprocessed cases in and to read them from.
    needs_labels : refuse a case without labels; else its labels are all background.

    Raises
    ------
    DatasetError : a case without labels, on another grid than its image, or with a value
        that is not listed.
    """
    store = CaseCache(cache, channels, grid, values) if cache else None
    cases = []
    for number, case in enumerate(files, 1):
        if case.labels is None and needs_labels:
            raise DatasetError(f"The case {case.name} has no labels.", "Take it off the list.")

        def make(case: CaseFiles = case) -> Arrays:
            return _prepare(case, channels, grid, values, monitor)

        arrays = store.load(case, make, monitor) if store else make()
        cases.append(TrainingCase(case.name, *arrays, spacing=spacing_of(case, grid)))
        monitor.report(number / len(files), f"read {case.name}")
    return cases


def read_images(case: CaseFiles, monitor: Monitor) -> list[sitk.Image]:
    """The images of a case, one a channel, on the grid of its first.

    Only the ``chosen`` ones, but on that same grid, which is that of the labels.

    Raises
    ------
    ImageError : as ``read_channels``.
    DatasetError : it has fewer channels than that.
    """
    images = read_channels(case.images, monitor)
    if case.chosen and max(case.chosen) >= len(images):
        raise DatasetError(
            f"The case {case.name} has {len(images)} channel(s), "
            f"number {max(case.chosen) + 1} is wanted.",
            "Complete the case, or take it off the list.",
        )
    return [images[i] for i in case.chosen] if case.chosen else images


def spacing_of(case: CaseFiles, grid: Grid) -> tuple[float, float, float]:
    """(z, y, x) of a case's arrays, in mm; in pixels of the picture where these have no length.

    Also in pixels of a case without labels on a grid that goes by each image's spacing.
    """
    if grid.spacing is not None:
        return grid.spacing[::-1]
    own: Sequence[float] = (1.0,) * grid.dimensions
    if case.labels is not None:
        labels = read_labels(case.labels)
        if has_physical_spacing(labels):
            own = to_orientation(labels, grid.orientation).GetSpacing()
    x, y, *z = grid.spacing_for(own)
    return (z[0] if z else 1.0, y, x)


def require_known(labels: np.ndarray, values: Collection[int], what: str) -> None:
    """Refuse a label value that is neither 0 nor listed; ``what`` holds it, in the message.

    Raises
    ------
    DatasetError : there is one.
    """
    unknown = sorted(set(np.unique(labels).tolist()) - {0, *values})
    if unknown:
        raise DatasetError(
            f"{what} holds the value {unknown[0]}, which is not a known label.",
            "List it among the labels of the study file, and of dataset.json where there is one, "
            "or correct the file.",
        )


def _prepare(
    case: CaseFiles,
    channels: Sequence[Channel],
    grid: Grid,
    values: Sequence[int],
    monitor: Monitor,
) -> Arrays:
    images = read_images(case, monitor)
    array = preprocess(images, channels, grid).array
    if case.labels is None:
        return array, np.zeros(array.shape[1:], np.uint8)
    labels = read_labels(case.labels)
    if not same_grid(images[0], labels):
        raise DatasetError(
            f"{case.labels} lies on another grid than {case.images[0].name}.",
            "Resample the labels onto the image's grid.",
        )
    found = preprocess_labels(labels, grid)
    require_known(found, values, str(case.labels))
    classes = np.zeros(found.shape, np.uint8)
    for index, value in enumerate(values, 1):
        classes[found == value] = index
    return array, classes
