"""Two models' label maps of one image beside each other: student and ensemble, say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.evaluation.structures import StructureResult, compare_labels
from KDSegmentationLogic.imaging.geometry import has_physical_spacing

Names = Mapping[int, str]


@dataclass(frozen=True)
class Agreement:
    """How well two label maps agree.

    structures : results of the first (as prediction) against the second (as reference), for
        each structure that both models know.
    disagreement : uint8 on their grid, 1 where the two say different structures.
    """

    structures: tuple[StructureResult, ...]
    disagreement: sitk.Image


def agreement(
    first: sitk.Image, second: sitk.Image, first_names: Names, second_names: Names
) -> Agreement:
    """Compare two label maps on one grid; structures are the same where their names are.

    Raises
    ------
    UsageError : the two have no structure in common.
    ImageError : the grids differ.
    """
    shared = {v: name for v, name in first_names.items() if name in second_names.values()}
    if not shared:
        raise UsageError(
            f"The models have no structure in common: one knows {', '.join(first_names.values())},"
            f" the other {', '.join(second_names.values())}.",
            "Choose models of the same structures.",
        )
    renumbered = renumber(second, second_names, first_names)
    results = compare_labels(first, renumbered, shared, case="the two models")
    views = [sitk.GetArrayViewFromImage(image) for image in (first, renumbered)]
    differ = sitk.GetImageFromArray((views[0] != views[1]).astype(np.uint8))
    differ.CopyInformation(first)
    return Agreement(tuple(r for r in results if r.value in shared), differ)


def renumber(labels: sitk.Image, names: Names, wanted: Names) -> sitk.Image:
    """A label map with the values that ``wanted`` gives to its structures' names.

    A structure that ``wanted`` does not know gets a value above all of it.
    """
    values = {name: value for value, name in wanted.items()}
    lookup = np.zeros(max([*names, *wanted, 0]) + 1, np.uint16)
    for value, name in names.items():
        lookup[value] = values.setdefault(name, max([*values.values(), *wanted], default=0) + 1)
    array = lookup[sitk.GetArrayViewFromImage(labels)]
    result = sitk.GetImageFromArray(array.astype(np.uint8) if array.max() < 256 else array)
    result.CopyInformation(labels)
    return result


def volumes_of(labels: sitk.Image, names: Names) -> tuple[dict[str, float], str]:
    """The volume of each structure by name, and the unit: mL, for 2-D images mm2 or px."""
    values = max(names, default=0) + 1
    counts = np.zeros(values, np.int64)
    for plane in np.atleast_3d(sitk.GetArrayViewFromImage(labels)):
        # plane by plane: bincount makes 8 bytes of each voxel
        counts += np.bincount(plane.ravel(), minlength=values)[:values]
    if labels.GetDimension() == 3:
        unit, voxel = "mL", float(np.prod(labels.GetSpacing())) / 1000
    elif has_physical_spacing(labels):
        unit, voxel = "mm2", float(np.prod(labels.GetSpacing()))
    else:
        unit, voxel = "px", 1.0
    return {name: float(counts[value] * voxel) for value, name in names.items()}, unit
