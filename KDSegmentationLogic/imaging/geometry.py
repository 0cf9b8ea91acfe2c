"""Where an image lies in the patient, and the one way to turn it round and back.

Coordinates are SimpleITK's: LPS, millimetres, components (x, y, z); only messages to the
user speak RAS, as Slicer shows positions. Every function takes 3-D images and 2-D ones
alike: geometry is handled as vectors of the image's own dimension, so that no caller needs
a case for pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import RegionError

UNIT_KEY = "kdseg.unit"
"""Metadata key of images whose spacing is no length: its value is ``pixel``."""

MODALITY_KEY = "kdseg.modality"
"""Metadata key of images read from DICOM: its value is DICOM's code, such as ``MR``."""

GRID_TOLERANCE = 0.01
"""Two grids are one where no voxel centre differs by more than this part of a voxel."""

_EDGE = 1e-6
"""Part of a voxel by which a box may pass a voxel's edge through rounding alone."""


def axes_of(image: sitk.Image) -> np.ndarray:
    """Matrix [d, d] whose columns are the steps (LPS mm) from one voxel to the next."""
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))
    return direction * np.asarray(image.GetSpacing())


def has_physical_spacing(image: sitk.Image) -> bool:
    """False where the spacing is a count of pixels, as in PNG and JPEG files."""
    return not (image.HasMetaDataKey(UNIT_KEY) and image.GetMetaData(UNIT_KEY) == "pixel")


def copy_unit(source: sitk.Image, target: sitk.Image) -> sitk.Image:
    """Carry the unit of the spacing over to ``target`` (changed and returned)."""
    if not has_physical_spacing(source):
        target.SetMetaData(UNIT_KEY, "pixel")
    return target


def same_grid(a: sitk.Image, b: sitk.Image, tolerance: float = GRID_TOLERANCE) -> bool:
    """Whether voxel (i, j, k) of ``a`` and of ``b`` are the same place, for every voxel.

    Sizes are equal and no voxel centre of ``b`` lies farther from that of ``a`` than
    ``tolerance`` times the smallest spacing. Size, origin, spacing and direction are thus
    judged together by their effect, which is largest in a corner.
    """
    if a.GetSize() != b.GetSize():
        return False
    away = _corners(a, 0.0) - _corners(b, 0.0)
    return bool(np.abs(away).max() <= tolerance * min(*a.GetSpacing(), *b.GetSpacing()))


def physical_extent(image: sitk.Image) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Least and greatest coordinates (LPS mm) that the voxels reach, edges included."""
    corners = _corners(image, 0.5)
    return tuple(corners.min(axis=0).tolist()), tuple(corners.max(axis=0).tolist())


def voxel_volume_ml(image: sitk.Image) -> float:
    """Volume of one voxel in millilitres; a 2-D image has none (``ValueError``)."""
    if image.GetDimension() != 3:
        raise ValueError("a 2-D image has no volume")
    return float(np.prod(image.GetSpacing())) / 1000.0


def orientation_of(image: sitk.Image) -> str:
    """The way the axes run, as the closest of the 48 codes, e.g. ``LPS`` or ``RAS``.

    Each letter names the side towards which an index grows. A 2-D image has the code "".
    """
    if image.GetDimension() != 3:
        return ""
    code = ""
    order, signs = _closest_axes(image)
    for axis, sign in zip(order, signs, strict=True):
        code += ("LPS" if sign > 0 else "RAI")[axis]
    return code


def to_orientation(image: sitk.Image, code: str = "LPS") -> sitk.Image:
    """The same voxels at the same places, stored along the axes that come closest to ``code``.

    Only order and sign of the axes change; nothing is resampled, an oblique image stays
    oblique. 2-D images are returned as they are. ``ValueError`` for a code that is none.
    """
    if image.GetDimension() != 3:
        return image
    wanted = _axes_of_code(code)
    order, signs = _closest_axes(image)
    sources = [order.index(axis) for axis, _ in wanted]
    flips = [signs[s] != sign for s, (_, sign) in zip(sources, wanted, strict=True)]
    if sources == [0, 1, 2] and not any(flips):
        return image

    vector = image.GetNumberOfComponentsPerPixel() > 1  # class maps; components stay last
    axes = [2 - s for s in reversed(sources)] + ([3] if vector else [])
    array = sitk.GetArrayViewFromImage(image).transpose(axes)
    array = array[tuple(slice(None, None, -1 if flip else 1) for flip in reversed(flips))]
    turned = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=vector)

    direction = np.reshape(image.GetDirection(), (3, 3))[:, sources]
    first = [0, 0, 0]
    for source, flip in zip(sources, flips, strict=True):
        first[source] = image.GetSize()[source] - 1 if flip else 0
    turned.SetSpacing([image.GetSpacing()[s] for s in sources])
    turned.SetDirection((direction * np.where(flips, -1.0, 1.0)).ravel().tolist())
    turned.SetOrigin(image.TransformIndexToPhysicalPoint(first))
    return copy_unit(image, turned)


def back_to_grid(image: sitk.Image, reference: sitk.Image) -> sitk.Image:
    """Undo ``to_orientation``: ``image`` with the axes of ``reference``, geometry bit for bit.

    ``ValueError`` where the voxels are not those of ``reference``, which is a caller's fault.
    """
    back = to_orientation(image, orientation_of(reference))
    if not same_grid(back, reference):
        raise ValueError("the image does not lie on the grid of its reference")
    if back is image:
        back = sitk.Image(image)
    back.CopyInformation(reference)
    return copy_unit(reference, back)


def index_box_of(
    image: sitk.Image, centre_lps_mm: Sequence[float], extent_mm: Sequence[float]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The block of voxels that makes a box round a point, clipped to the image.

    Inside the image it has ``rint(extent / spacing)`` voxels an axis (at least one), wherever
    in a voxel the point lies, and its middle is at most half a voxel away from the point.

    Parameters
    ----------
    centre_lps_mm : middle of the box, LPS mm.
    extent_mm : edge lengths of the box along the image's own axes (x, y, z), mm.

    Returns
    -------
    First index and size of the block, (x, y, z) each; never empty.

    Raises
    ------
    RegionError : the point lies outside the image.
    """
    size = np.asarray(image.GetSize())
    steps = np.linalg.inv(axes_of(image))
    centre = steps @ (np.asarray(centre_lps_mm, float) - np.asarray(image.GetOrigin()))
    inside = (centre >= -0.5 - _EDGE) & (centre <= size - 0.5 + _EDGE)
    if not inside.all():
        raise _outside(image, centre_lps_mm)
    extent = np.asarray(extent_mm, float) / np.asarray(image.GetSpacing())
    count = np.maximum(1, np.rint(extent)).astype(int)
    first = np.floor(centre - count / 2 + 1 - _EDGE).astype(int)
    start = np.clip(first, 0, size - 1)
    end = np.clip(first + count, start + 1, size)
    return tuple(start.tolist()), tuple((end - start).tolist())


def _corners(image: sitk.Image, margin: float) -> np.ndarray:
    """[2**d, d] LPS mm of the corner voxels, ``margin`` voxels outwards of their centres."""
    size = np.asarray(image.GetSize(), float)
    ends = list(zip(np.full(len(size), -margin), size - 1 + margin, strict=True))
    return np.asarray(list(product(*ends))) @ axes_of(image).T + np.asarray(image.GetOrigin())


def _closest_axes(image: sitk.Image) -> tuple[list[int], list[int]]:
    """Per index axis: the patient axis (0..2) it runs along, and +1 or -1.

    The largest direction cosine is given away first, then the largest of those left: every
    patient axis is used once, also where an image is turned by 45 degrees.
    """
    left = np.abs(np.reshape(image.GetDirection(), (3, 3)))
    direction = np.reshape(image.GetDirection(), (3, 3))
    order, signs = [0, 0, 0], [1, 1, 1]
    for _ in range(3):
        patient, index = np.unravel_index(np.argmax(left), left.shape)
        order[index] = int(patient)
        signs[index] = 1 if direction[patient, index] > 0 else -1
        left[patient, :] = -1.0
        left[:, index] = -1.0
    return order, signs


def _axes_of_code(code: str) -> list[tuple[int, int]]:
    """(patient axis, sign) per letter of an orientation code."""
    pairs = [("LPS".find(c), 1) if c in "LPS" else ("RAI".find(c), -1) for c in code]
    if len(code) != 3 or sorted(axis for axis, _ in pairs) != [0, 1, 2]:
        raise ValueError(f"'{code}' is no orientation; one is LPS, another RAS")
    return pairs


def _outside(image: sitk.Image, point_lps: Sequence[float]) -> RegionError:
    low, high = (np.asarray(_ras(corner)) for corner in physical_extent(image))
    low, high = np.minimum(low, high), np.maximum(low, high)
    where = ", ".join(f"{value:.1f}" for value in _ras(point_lps))
    names = "RAS"
    spans = ", ".join(f"{names[i]} {low[i]:.1f} to {high[i]:.1f}" for i in range(len(low)))
    return RegionError(
        f"The point ({where}) lies outside the image, which reaches over {spans}"
        " (RAS millimetres, as Slicer shows them).",
        "Choose a point inside the image, in RAS coordinates.",
    )


def _ras(point_lps: Sequence[float]) -> list[float]:
    return [-v if axis < 2 else v for axis, v in enumerate(map(float, point_lps))]
