"""Two label images of one case, compared structure by structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.evaluation.metrics import TOLERANCE, MaskComparison, compare_masks

# A shift below a tenth of a voxel comes from the rounding of file headers (NIfTI keeps the
# direction as a 32-bit quaternion) and is below what a label map can express.
GRID_TOLERANCE_VOXELS = 0.1


@dataclass(frozen=True)
class StructureResult(MaskComparison):
    """Agreement on one structure of one case.

    ``unit`` is that of the distances, ``mm`` or ``px``; ``volume_unit`` that of the volumes:
    ``mL`` for volumes in mm, ``mm2`` for 2-D images in mm, ``px`` for a count of pixels.
    ``tolerance``: of the surface Dice, in ``unit``.
    """

    value: int
    name: str
    unit: str
    volume_unit: str
    tolerance: float = TOLERANCE


def compare_labels(
    prediction: sitk.Image,
    reference: sitk.Image,
    names: Mapping[int, str],
    *,
    unit: str | None = None,
    case: str = "this case",
    tolerance: float = TOLERANCE,
) -> list[StructureResult]:
    """Compare two label images on one grid, structure by structure.

    Parameters
    ----------
    prediction, reference : 3-D or 2-D label images; 0 is background.
    names : name of each label value that is expected. Each gets a result, also where neither
        image has it; a value found in an image but not named gets one under its number.
    unit : ``mm`` takes the images' spacing, ``px`` counts every voxel as one. By default a 2-D
        image of spacing 1 x 1, which is how PNG is read, is in pixels and all others in mm.
    case : what to call the images in an error.
    tolerance : of the surface Dice, in ``unit``.

    Returns
    -------
    Results in the order of the label values.

    Raises
    ------
    ImageError : the grids differ, or an image is not a label image.
    """
    prediction = _labels(prediction, f"The prediction of {case}")
    reference = _labels(reference, f"The reference of {case}")
    _require_same_grid(prediction, reference, case)
    unit = unit or _default_unit(reference)
    if unit not in ("mm", "px"):
        raise ValueError(f"unit {unit!r} is neither 'mm' nor 'px'")
    spacing = reference.GetSpacing()[::-1] if unit == "mm" else (1.0,) * reference.GetDimension()
    volume_unit, scale = _volume_unit(unit, reference.GetDimension())

    arrays = [sitk.GetArrayViewFromImage(image) for image in (prediction, reference)]
    boxes = [_boxes(prediction), _boxes(reference)]
    values = sorted((set(names) | set(boxes[0]) | set(boxes[1])) - {0})
    results = []
    for value in values:
        box = _joint_box([found[value] for found in boxes if value in found], arrays[0].shape)
        found = compare_masks(arrays[0][box] == value, arrays[1][box] == value, spacing, tolerance)
        results.append(
            StructureResult(
                dice=found.dice,
                hd95=found.hd95,
                assd=found.assd,
                surface_dice=found.surface_dice,
                prediction_volume=found.prediction_volume * scale,
                reference_volume=found.reference_volume * scale,
                value=value,
                name=names.get(value, str(value)),
                unit=unit,
                volume_unit=volume_unit,
                tolerance=tolerance,
            )
        )
    return results


def _labels(image: sitk.Image, subject: str) -> sitk.Image:
    """The image in an integer type; label maps are often stored as floating point numbers."""
    if image.GetNumberOfComponentsPerPixel() != 1 or image.GetDimension() not in (2, 3):
        raise ImageError(
            f"{subject} is not a 2-D or 3-D image with one number for each voxel.",
            "Give a label image with 0 for background and one whole number for each structure.",
        )
    if image.GetPixelID() not in (sitk.sitkFloat32, sitk.sitkFloat64):
        return image
    array = sitk.GetArrayViewFromImage(image)
    if not np.all((array == np.rint(array)) & (np.abs(array) < 2**31)):
        raise ImageError(
            f"{subject} holds values that are not whole numbers, so it is no label image.",
            "Give the label image, not probabilities or a scan.",
        )
    return sitk.Cast(image, sitk.sitkInt32)


def _require_same_grid(prediction: sitk.Image, reference: sitk.Image, case: str) -> None:
    if prediction.GetSize() == reference.GetSize():
        corners = list(product(*((0, extent - 1) for extent in reference.GetSize())))
        shift = max(
            np.abs(
                np.subtract(
                    reference.TransformPhysicalPointToContinuousIndex(
                        prediction.TransformIndexToPhysicalPoint(corner)
                    ),
                    corner,
                )
            ).max()
            for corner in corners
        )
        # An image of one voxel has its corners in one place whatever its spacing.
        same_spacing = np.allclose(prediction.GetSpacing(), reference.GetSpacing(), rtol=0.01)
        if shift < GRID_TOLERANCE_VOXELS and same_spacing:
            return
        difference = (
            f"their voxels lie up to {shift:.3g} voxels apart, with spacing "
            f"{_listed(prediction.GetSpacing())} and {_listed(reference.GetSpacing())}"
        )
    else:
        difference = (
            f"their sizes are {_listed(prediction.GetSize())} and {_listed(reference.GetSize())}"
        )
    raise ImageError(
        f"Prediction and reference of {case} are on different grids: {difference}.",
        "Resample the prediction onto the reference's grid with nearest-neighbour interpolation.",
    )


def _listed(numbers: tuple[float, ...]) -> str:
    return " x ".join(f"{number:.6g}" for number in numbers)


def _default_unit(image: sitk.Image) -> str:
    return "px" if image.GetDimension() == 2 and set(image.GetSpacing()) == {1.0} else "mm"


def _volume_unit(unit: str, dimension: int) -> tuple[str, float]:
    """The unit of volumes and the factor from the power of the distances' unit to it."""
    if unit == "px":
        return "px", 1.0
    return ("mL", 1e-3) if dimension == 3 else ("mm2", 1.0)


def _boxes(image: sitk.Image) -> dict[int, tuple[slice, ...]]:
    """The bounding box in array axes of every label but 0, found in one pass over the image."""
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.ComputePerimeterOff()
    shapes.Execute(image)
    boxes = {}
    for value in shapes.GetLabels():
        box = shapes.GetBoundingBox(value)
        starts, extents = box[: len(box) // 2], box[len(box) // 2 :]
        boxes[int(value)] = tuple(
            slice(start, start + extent)
            for start, extent in zip(starts[::-1], extents[::-1], strict=True)
        )
    return boxes


def _joint_box(boxes: list[tuple[slice, ...]], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The box around all boxes and one voxel more, within the image.

    The margin keeps a structure one voxel thin apart from an image one voxel thin, which
    ``compare_masks`` treats as 2-D. Without boxes (a structure in neither image) the answer is
    one voxel, which is not of the structure.
    """
    if not boxes:
        return tuple(slice(0, 1) for _ in shape)
    return tuple(
        slice(max(min(part.start for part in axis) - 1, 0), max(part.stop for part in axis) + 1)
        for axis in zip(*boxes, strict=True)
    )
