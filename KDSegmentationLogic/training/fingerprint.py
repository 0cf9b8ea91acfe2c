"""What a data set is like: sizes, spacings, intensities inside structures, their volumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.imaging.geometry import has_physical_spacing, same_grid, to_orientation
from KDSegmentationLogic.imaging.reading import read_channels, read_labels
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.cases import require_known
from KDSegmentationLogic.training.layouts.base import CaseFiles, Dataset

MOST_CASES = 100
_SAMPLES = 5000
"""Voxels inside structures that a case and channel contributes to the intensities."""


@dataclass(frozen=True)
class Intensities:
    """Of one channel: 0.5 and 99.5 percentile, mean and standard deviation inside structures;
    ``zeros``: share of voxels of the whole image that are exactly 0 (median over cases)."""

    low: float
    high: float
    mean: float
    std: float
    zeros: float


@dataclass(frozen=True)
class Structure:
    """One label: in how many of the measured cases it occurs, and its median volume there, in
    ml, of pictures in pixels."""

    value: int
    cases: int
    volume: float


@dataclass(frozen=True)
class Fingerprint:
    """Figures of the measured training cases; sizes and spacings (x, y, z) of axes turned to LPS.

    measured : cases that were read, spread evenly over those for training.
    thin_axis : the axis along which every image has a single slice, 0 to 2; None for volumes.
    physical : whether the files say how large a voxel is (pictures do not).
    spacings, sizes : one entry a measured case.
    """

    dataset: str
    dimensions: int
    measured: int
    physical: bool
    thin_axis: int | None
    sizes: tuple[tuple[int, ...], ...]
    spacings: tuple[tuple[float, ...], ...]
    intensities: dict[str, Intensities]
    structures: dict[str, Structure]

    def median_size(self) -> tuple[float, ...]:
        return tuple(np.median(self.sizes, axis=0).tolist())

    def median_spacing(self) -> tuple[float, ...]:
        return tuple(np.median(self.spacings, axis=0).tolist())


def take_fingerprint(
    dataset: Dataset, monitor: Monitor | None = None, most: int = MOST_CASES
) -> Fingerprint:
    """Read at most ``most`` training cases and measure them.

    Raises
    ------
    DatasetError : a case without labels, with labels on another grid than its image or with a
        value that is not listed; images of two and of three dimensions; a label that occurs in
        no case.
    ImageError : a file that cannot be read.
    """
    monitor = monitor or Monitor()
    cases = _spread(dataset.split("train"), most)
    found = []
    for number, case in enumerate(cases, 1):
        found.append(_measure(case, dataset))
        monitor.report(number / len(cases), f"measured {case.name}")
    dimensions = {len(entry.size) for entry in found}
    if len(dimensions) > 1:
        raise DatasetError(
            f"The data set {dataset.name} mixes images of two and of three dimensions.",
            "Make two data sets of it.",
        )
    sizes = tuple(entry.size for entry in found)
    structures = {
        name: _structure(value, [entry.volumes.get(value, 0.0) for entry in found])
        for value, name in dataset.labels.items()
    }
    absent = [name for name, structure in structures.items() if structure.cases == 0]
    if absent:
        raise DatasetError(
            f"The label {absent[0]} occurs in none of {len(cases)} training cases of"
            f" {dataset.name}.",
            "Correct the labels, or take it out of the description of the data set.",
        )
    return Fingerprint(
        dataset=dataset.name,
        dimensions=dimensions.pop(),
        measured=len(cases),
        physical=all(entry.physical for entry in found),
        thin_axis=_thin_axis(sizes),
        sizes=sizes,
        spacings=tuple(entry.spacing for entry in found),
        intensities={
            name: _intensities(
                np.concatenate([entry.inside[c] for entry in found]),
                [entry.zeros[c] for entry in found],
            )
            for c, name in enumerate(dataset.channels)
        },
        structures=structures,
    )


@dataclass(frozen=True)
class _Measured:
    """``inside``: per channel some voxels inside structures; ``volumes``: ml or pixels by value."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    physical: bool
    inside: list[np.ndarray]
    zeros: list[float]
    volumes: dict[int, float]


def _spread(cases: Sequence[CaseFiles], most: int) -> list[CaseFiles]:
    """At most ``most`` cases, evenly spread over their names."""
    ordered = sorted(cases, key=lambda case: case.name)
    if len(ordered) <= most:
        return ordered
    return [ordered[round(i)] for i in np.linspace(0, len(ordered) - 1, most)]


def _measure(case: CaseFiles, dataset: Dataset) -> _Measured:
    if case.labels is None:
        raise DatasetError(f"The case {case.name} has no labels.", "Take it off the list.")
    images = [to_orientation(image) for image in read_channels(case.images)]
    if len(images) != len(dataset.channels):
        raise DatasetError(
            f"The case {case.name} has {len(images)} channel(s), the data set describes"
            f" {len(dataset.channels)}.",
            "Complete the case, or correct dataset.json.",
        )
    labels = to_orientation(read_labels(case.labels))
    if not same_grid(images[0], labels):
        raise DatasetError(
            f"{case.labels} lies on another grid than {case.images[0].name}.",
            "Resample the labels onto the image's grid.",
        )
    voxels = sitk.GetArrayViewFromImage(labels)
    values, counts = np.unique(voxels, return_counts=True)
    require_known(values, dataset.labels, str(case.labels))
    inside = np.flatnonzero(voxels)
    inside = inside[:: max(1, len(inside) // _SAMPLES)]
    arrays = [sitk.GetArrayViewFromImage(image) for image in images]
    physical = has_physical_spacing(images[0])
    unit = float(np.prod(images[0].GetSpacing())) / 1000 if physical else 1.0
    return _Measured(
        size=images[0].GetSize(),
        spacing=images[0].GetSpacing(),
        physical=physical,
        inside=[array.ravel()[inside].astype(np.float64) for array in arrays],
        zeros=[float((array == 0).mean()) for array in arrays],
        volumes={int(v): int(n) * unit for v, n in zip(values, counts, strict=True) if v},
    )


def _thin_axis(sizes: Sequence[tuple[int, ...]]) -> int | None:
    flat = Counter(axis for size in sizes for axis, length in enumerate(size) if length == 1)
    return next((axis for axis, count in flat.items() if count == len(sizes)), None)


def _structure(value: int, volumes: Sequence[float]) -> Structure:
    present = [volume for volume in volumes if volume > 0]
    return Structure(value, len(present), float(np.median(present)) if present else 0.0)


def _intensities(inside: np.ndarray, zeros: Sequence[float]) -> Intensities:
    low, high = np.percentile(inside, (0.5, 99.5)) if inside.size else (0.0, 0.0)
    clipped = np.clip(inside, low, high)
    mean, std = (float(clipped.mean()), float(clipped.std())) if inside.size else (0.0, 0.0)
    return Intensities(float(low), float(high), mean, std, float(np.median(zeros)))
