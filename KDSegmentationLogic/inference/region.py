"""Which part of an image is segmented: all of it, a box round a point, or a region.

Positions are RAS mm, as Slicer shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from KDSegmentationLogic.bundles.description import Description
from KDSegmentationLogic.errors import RegionError
from KDSegmentationLogic.imaging.geometry import axes_of, index_box_of, orientation_of

# a crop up to half as large again still shows the network what it was trained on: the
# training crops themselves vary by a third
CROP_TOLERANCE = 1.5
# how far beside a structure a click may be; half a hippocampus' width
NEAREST_MM = 5.0

Block = tuple[tuple[int, ...], tuple[int, ...]]  # first index and size, (x, y, z)


@dataclass(frozen=True)
class Point:
    """Segment the structure at this position (RAS mm)."""

    ras: tuple[float, float, float]


@dataclass(frozen=True)
class Box:
    """Segment inside this box.

    lower, upper : two opposite corners in the box's own frame.
    to_ras : row-major 4 x 4 matrix from that frame to RAS mm; None: the frame is RAS mm.
    """

    lower: tuple[float, float, float]
    upper: tuple[float, float, float]
    to_ras: tuple[float, ...] | None = None


Region = Point | Box


def to_lps(ras: Sequence[float]) -> tuple[float, float, float]:
    r, a, s = ras
    return (-r, -a, s)


def choose_block(image: sitk.Image, description: Description, region: Region | None) -> Block:
    """The block of voxels that the model is run on.

    Raises
    ------
    RegionError : the region lies outside the image; a model trained on crops is asked for a
        whole volume or a much larger region; a 2-D image has no regions.
    """
    if region is None:
        _check_crop(description, _size_mm(image), image, "The image")
        return (0,) * image.GetDimension(), image.GetSize()
    if image.GetDimension() != 3:
        raise RegionError(
            "A point or region was given for a 2-D image.", "Leave it out: 2-D images are whole."
        )
    if isinstance(region, Point):
        return index_box_of(image, to_lps(region.ras), _extent(image, description))
    block = _block_of_box(image, region)
    size = np.multiply(block[1], image.GetSpacing())
    _check_crop(description, size, image, "The region")
    return block


def keep_structure(
    labels: sitk.Image, point: Point, together: bool
) -> tuple[sitk.Image, str | None]:
    """Only the connected structure under a point.

    Parameters
    ----------
    together : neighbouring labels are parts of one structure (a model of one structure's
        parts); otherwise only the label under the point is kept.

    Returns
    -------
    The label map with all else set to 0, and a sentence where the point lay on background
    and the nearest structure was taken.

    Raises
    ------
    RegionError : no structure within ``NEAREST_MM`` of the point.
    """
    array = sitk.GetArrayFromImage(labels)
    index = tuple(
        int(np.clip(i, 0, n - 1))
        for i, n in zip(
            labels.TransformPhysicalPointToIndex(to_lps(point.ras)),
            labels.GetSize(),
            strict=True,
        )
    )[::-1]
    notice = None
    if array[index] == 0:
        index, distance = _nearest(array > 0, index, labels.GetSpacing()[::-1])
        notice = f"The point lies on background; the structure {distance:.1f} mm away was taken."
    same = array > 0 if together else array == array[index]
    parts, _ = ndimage.label(same)
    array[parts != parts[index]] = 0
    kept = sitk.GetImageFromArray(array)
    kept.CopyInformation(labels)
    return kept, notice


def _nearest(
    mask: np.ndarray, index: tuple[int, ...], spacing: Sequence[float]
) -> tuple[tuple[int, ...], float]:
    found = np.argwhere(mask)
    if len(found):
        distances = np.linalg.norm((found - index) * np.asarray(spacing), axis=1)
        best = int(distances.argmin())
        if distances[best] <= NEAREST_MM:
            return tuple(found[best].tolist()), float(distances[best])
    raise RegionError(
        f"The model found no structure within {NEAREST_MM:g} mm of the point.",
        "Place the point on the structure.",
    )


def _extent(image: sitk.Image, description: Description) -> tuple[float, ...]:
    """The model's field of view (mm) along the image's own axes."""
    pairs = ("LR", "PA", "SI")
    network = [next(p for p in pairs if c in p) for c in description.grid.orientation]
    own = [next(p for p in pairs if c in p) for c in orientation_of(image)]
    extent = description.field_of_view.extent_mm
    if extent is None:  # a whole-volume model: what its first patch covers
        spacings = description.grid.spacing or [image.GetSpacing()[own.index(p)] for p in network]
        patch = description.members[0].patch
        sizes = patch[::-1] if len(patch) == 3 else (*patch[::-1], max(patch))
        extent = (sizes[0] * spacings[0], sizes[1] * spacings[1], sizes[2] * spacings[2])
    return tuple(extent[network.index(pair)] for pair in own)


def _check_crop(
    description: Description, size_mm: Sequence[float], image: sitk.Image, what: str
) -> None:
    if description.field_of_view.kind != "crop" or image.GetDimension() != 3:
        return
    extent = _extent(image, description)
    if all(n <= CROP_TOLERANCE * e for n, e in zip(size_mm, extent, strict=True)):
        return
    shown = " x ".join(f"{v:.0f}" for v in size_mm)
    wanted = " x ".join(f"{v:.0f}" for v in extent)
    raise RegionError(
        f"{what} covers {shown} mm, but {description.title} was trained on boxes of about "
        f"{wanted} mm round one structure.",
        "Give a point on the structure (--point R A S, or click on it).",
    )


def _size_mm(image: sitk.Image) -> list[float]:
    return [n * s for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]


def _block_of_box(image: sitk.Image, box: Box) -> Block:
    """All voxels that the box touches, clipped to the image."""
    corners = [
        to_lps([(box.lower, box.upper)[side][axis] for axis, side in enumerate(sides)])
        for sides in product((0, 1), repeat=3)
    ]
    index = (np.asarray(corners) - image.GetOrigin()) @ np.linalg.inv(axes_of(image)).T
    low = np.floor(index.min(0) + 0.5 + 1e-6).astype(int)
    high = np.ceil(index.max(0) + 0.5 - 1e-6).astype(int)
    low, high = np.maximum(low, 0), np.minimum(high, image.GetSize())
    if (high <= low).any():
        raise RegionError(
            "The region lies outside the image.", "Move the region so that it overlaps the image."
        )
    return tuple(low.tolist()), tuple((high - low).tolist())
