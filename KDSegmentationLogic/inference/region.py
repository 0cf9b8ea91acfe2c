"""Which part of an image is segmented: all of it, a box round a point, or a region.

Positions are RAS mm, as Slicer shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

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


def with_context(image: sitk.Image, description: Description, block: Block) -> Block:
    """A block of a whole-volume model with half its patch on each side, clipped to the image.

    At a cut edge such a network would see what it never saw in training. A model of crops
    was trained on such edges: its block stays as it is.
    """
    if description.field_of_view.kind == "crop" or image.GetDimension() != 3:
        return block
    patch = np.divide(_patch_mm(image, description), image.GetSpacing())
    margin = np.ceil(patch / 2).astype(int)
    low = np.maximum(np.subtract(block[0], margin), 0)
    high = np.minimum(np.add(block[0], block[1]) + margin, image.GetSize())
    return tuple(low.tolist()), tuple((high - low).tolist())


def inside(image: sitk.Image, box: Box) -> np.ndarray:
    """Which voxels' centres lie in the box: bool [z, y, x]."""
    from_index = np.eye(4)
    from_index[:3, :3], from_index[:3, 3] = axes_of(image), image.GetOrigin()
    to_box = _from_ras(box) @ np.diag([-1.0, -1.0, 1.0, 1.0]) @ from_index
    low, high = np.minimum(box.lower, box.upper), np.maximum(box.lower, box.upper)
    x, y, z = (np.arange(n) for n in image.GetSize())
    result = np.ones((len(z), len(y), len(x)), bool)
    for row, least, most in zip(to_box[:3], low, high, strict=True):
        rounding = 1e-6 * np.abs(row[:3]).max()
        in_plane = row[0] * x + row[1] * y[:, None] + row[3]
        for index, plane in enumerate(result):  # coordinates of a volume are 8 times its mask
            position = in_plane + row[2] * z[index]
            plane &= (position >= least - rounding) & (position <= most + rounding)
    return result


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
    from scipy import ndimage  # not in a fresh Slicer, where regions are chosen too

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
    extent = description.field_of_view.extent_mm
    if extent is None:
        return _patch_mm(image, description)
    network, own = _axes(description.grid.orientation), _axes(orientation_of(image))
    return tuple(extent[network.index(pair)] for pair in own)


def _patch_mm(image: sitk.Image, description: Description) -> tuple[float, ...]:
    """What the first network's patch covers (mm) along the image's own axes."""
    network, own = _axes(description.grid.orientation), _axes(orientation_of(image))
    spacings = description.grid.spacing_for([image.GetSpacing()[own.index(p)] for p in network])
    patch = description.members[0].patch
    sizes = patch[::-1] if len(patch) == 3 else (*patch[::-1], max(patch))
    return tuple(sizes[k] * spacings[k] for k in map(network.index, own))


def _axes(code: str) -> list[str]:
    return [next(pair for pair in ("LR", "PA", "SI") if c in pair) for c in code]


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
        "Give a point on the structure (--point R A S; in Slicer: point=(R, A, S)).",
    )


def _size_mm(image: sitk.Image) -> list[float]:
    return [n * s for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]


def _block_of_box(image: sitk.Image, box: Box) -> Block:
    """All voxels that the box touches, clipped to the image."""
    to_ras = np.linalg.inv(_from_ras(box))
    corners = [
        to_lps((to_ras @ [*corner, 1.0])[:3].tolist())
        for corner in product(*zip(box.lower, box.upper, strict=True))
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


def _from_ras(box: Box) -> np.ndarray:
    """[4, 4], from RAS mm to the box's own frame."""
    if box.to_ras is None:
        return np.eye(4)
    try:
        return np.linalg.inv(np.reshape(box.to_ras, (4, 4)))
    except np.linalg.LinAlgError:
        raise RegionError(
            "The region is flat: its axes do not span a volume.",
            "Give it an extent along all axes.",
        ) from None
