"""Cases in memory on the network's grid, through the same ``preprocess`` as everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from KDSegmentationLogic.bundles.description import Channel, Grid
from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.imaging.geometry import same_grid
from KDSegmentationLogic.imaging.reading import read_channels, read_labels
from KDSegmentationLogic.inference.preprocess import preprocess, preprocess_labels
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.dataset import CaseFiles


@dataclass(frozen=True)
class TrainingCase:
    """image: float32 [c, z, y, x]; labels: class indices, uint8 [z, y, x], 0 background;
    soft: teacher probabilities times 255, uint8 [k, z, y, x], where there is a teacher."""

    name: str
    image: np.ndarray
    labels: np.ndarray
    soft: np.ndarray | None = None

    def with_soft(self, soft: np.ndarray) -> TrainingCase:
        if soft.shape[1:] != self.labels.shape:
            raise DatasetError(
                f"The soft target of {self.name} has the shape {soft.shape[1:]}, "
                f"its labels have {self.labels.shape}.",
                "Compute the soft targets again.",
            )
        return replace(self, soft=soft)


def load_cases(
    files: Sequence[CaseFiles],
    channels: Sequence[Channel],
    grid: Grid,
    values: Sequence[int],
    monitor: Monitor,
) -> list[TrainingCase]:
    """Read and preprocess all cases.

    Parameters
    ----------
    values : label value of each class after background; class i + 1 is ``values[i]``.

    Raises
    ------
    DatasetError : a case without labels, on another grid than its image, or with a value
        that is not listed.
    """
    cases = []
    for number, case in enumerate(files, 1):
        cases.append(_load(case, channels, grid, values, monitor))
        monitor.report(number / len(files), f"read {case.name}")
    return cases


def _load(
    case: CaseFiles,
    channels: Sequence[Channel],
    grid: Grid,
    values: Sequence[int],
    monitor: Monitor,
) -> TrainingCase:
    if case.labels is None:
        raise DatasetError(f"The case {case.name} has no labels.", "Take it off the list.")
    images, labels = read_channels(case.images, monitor), read_labels(case.labels)
    if not same_grid(images[0], labels):
        raise DatasetError(
            f"{case.labels} lies on another grid than {case.images[0].name}.",
            "Resample the labels onto the image's grid.",
        )
    found = preprocess_labels(labels, grid)
    unknown = sorted(set(np.unique(found).tolist()) - {0, *values})
    if unknown:
        raise DatasetError(
            f"{case.labels} holds the value {unknown[0]}, which is not a known label.",
            "List it in dataset.json, or correct the file.",
        )
    classes = np.zeros(found.shape, np.uint8)
    for index, value in enumerate(values, 1):
        classes[found == value] = index
    return TrainingCase(case.name, preprocess(images, channels, grid).array, classes)
