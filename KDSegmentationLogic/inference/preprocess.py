"""From images to the network's input. Training, command line and Slicer all come through here.

Axes are only permuted and flipped to the network's orientation and rescaled to its spacing,
never rotated: so the way back (``restore``) is separable, and oblique images keep their own
directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import Channel, Grid, Normalisation
from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.imaging.geometry import has_physical_spacing, same_grid, to_orientation
from KDSegmentationLogic.imaging.resampling import resample_spacing, respaced
from KDSegmentationLogic.inference.memory import memory_checked
from KDSegmentationLogic.inference.region import Block

LARGEST = 2**31
"""Voxels on the network's grid; more are a mistake in the spacing, not an image."""

Statistics = tuple[float, float]  # mean and standard deviation


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of an image are (LPS mm, x, y, z), without the voxels."""

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> Geometry:
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    def give_to(self, image: sitk.Image) -> None:
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)


@dataclass(frozen=True)
class Prepared:
    """The network's input and what is needed to come back from it.

    array : float32 [c, z, y, x], network orientation and spacing; a 2-D image has z = 1.
    spacing : mm (x, y, z) of ``array``.
    oriented : the source (or its part) in network orientation before resampling.
    shift : voxels (z, y, x) of ``array`` from the centre of ``oriented`` to that of ``array``.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    oriented: Geometry
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def oriented_shape(self) -> tuple[int, int, int]:
        """(z, y, x) of the source in network orientation."""
        x, y, *z = self.oriented.size
        return (z[0] if z else 1, y, x)

    @property
    def oriented_spacing(self) -> tuple[float, float, float]:
        """mm (x, y, z) of the source in network orientation; z of a 2-D image is 1."""
        x, y, *z = self.oriented.spacing
        return (x, y, z[0] if z else 1.0)


@memory_checked()
def preprocess(
    images: Sequence[sitk.Image],
    channels: Sequence[Channel],
    grid: Grid,
    statistics: Sequence[Statistics | None] | None = None,
    part: Block | None = None,
    step: int = 1,
) -> Prepared:
    """Orient, resample (as ``grid`` says) and normalise one case.

    Parameters
    ----------
    images : one scalar image a channel, in the order of ``channels``, all on one grid.
    statistics : of ``statistics_of`` the image that these are parts of; None: their own.
    part : of 3-D images, all that is wanted. It is sampled where the whole image would be, from
        a multiple of ``step`` voxels on: a network that halves its grid sees the same points.

    Raises
    ------
    ImageError : as ``check_images``; or values that are no finite numbers.
    OutOfMemoryError : the images do not fit the memory on the network's grid.
    """
    check_images(images, channels, grid)
    known = statistics or [None] * len(images)
    arrays = []
    for image, channel, of_whole in zip(images, channels, known, strict=True):
        oriented = to_orientation(image, grid.orientation)
        geometry, shift, on_grid = Geometry.of(oriented), (0.0, 0.0, 0.0), None
        if part is not None:
            geometry, shift, on_grid = _part_on_grid(image, oriented, grid, part, step)
        resampled = _to_spacing(oriented, grid, grid.interpolation, on_grid)
        array = _finite(resampled, channel)
        arrays.append(normalise(array, channel.normalisation, of_whole))
    x, y, *z = resampled.GetSpacing()
    spacing = (x, y, z[0] if z else 1.0)
    stacked = arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)
    return Prepared(stacked, spacing, geometry, shift)


def preprocess_labels(labels: sitk.Image, grid: Grid) -> np.ndarray:
    """Labels on the network's grid: [z, y, x], by nearest neighbour (training only)."""
    oriented = to_orientation(labels, grid.orientation)
    return _as_volume(sitk.GetArrayFromImage(_to_spacing(oriented, grid, "nearest")))


@memory_checked()
def statistics_of(
    images: Sequence[sitk.Image], channels: Sequence[Channel], grid: Grid
) -> list[Statistics | None]:
    """Each channel's mean and deviation as ``preprocess`` would take them; None if it needs none.

    Taken on the network's grid, although that costs resampling the whole image: interpolation
    smooths, so the voxels as stored spread more than those that the network was trained on.
    Order and sign of the axes do not matter. Raises as ``preprocess``.
    """
    check_images(images, channels, grid)
    found: list[Statistics | None] = []
    for image, channel in zip(images, channels, strict=True):
        how = channel.normalisation
        if how.method != "zscore":
            found.append(None)
            continue
        oriented = to_orientation(image, grid.orientation)
        array = _finite(_to_spacing(oriented, grid, grid.interpolation), channel)
        if how.clip:
            np.clip(array, *how.clip, out=array)
        found.append(_mean_and_deviation(array, how.nonzero))
    return found


def normalise(
    array: np.ndarray, how: Normalisation, statistics: Statistics | None = None
) -> np.ndarray:
    """Normalise one channel, float32 [z, y, x], in place where possible.

    A z-score takes ``statistics`` instead of the array's own mean and deviation where given.
    A constant image has no spread: it becomes zero.
    """
    if how.clip:
        np.clip(array, *how.clip, out=array)
    if how.method == "none":
        return array
    if how.method == "fixed":
        assert how.mean is not None
        assert how.std is not None
        array -= how.mean
        array /= how.std
        return array
    mean, std = statistics or _mean_and_deviation(array, how.nonzero)
    outside = array == 0 if how.nonzero else None
    array -= np.float32(mean)
    array /= np.float32(std) if std > 1e-8 * max(abs(mean), 1e-30) else np.float32(1)
    if outside is not None:
        array[outside] = 0
    return array


def _mean_and_deviation(array: np.ndarray, nonzero: bool) -> tuple[float, float]:
    """Of all voxels or those that are not zero; (0, 1) where there is none.

    In double precision: a float32 sum over 1e8 voxels loses the mean's third digit. Plane by
    plane: a double copy of a volume is twice its size.
    """
    count, total, squares = 0, 0.0, 0.0
    for plane in _values(array, nonzero):
        count += plane.size
        total += float(plane.sum(dtype=np.float64))
    if count == 0:
        return 0.0, 1.0
    mean = total / count
    for plane in _values(array, nonzero):
        squares += float(np.square(np.subtract(plane, mean, dtype=np.float64)).sum())
    return mean, float(np.sqrt(squares / count))


def _values(array: np.ndarray, nonzero: bool) -> Iterator[np.ndarray]:
    return (plane[plane != 0] if nonzero else plane for plane in array)


def check_images(images: Sequence[sitk.Image], channels: Sequence[Channel], grid: Grid) -> None:
    """Whether the images are what a model takes, by their geometry alone.

    Raises
    ------
    ImageError : wrong number of images, different grids, 3-D where the model is 2-D or the
        reverse, pixels without a length, or far too many voxels on the model's grid.
    """
    if len(images) != len(channels):
        names = ", ".join(c.name for c in channels)
        raise ImageError(
            f"The model needs {len(channels)} image(s) ({names}), {len(images)} given.",
            "Give one image a channel, in that order.",
        )
    if any(not same_grid(images[0], image) for image in images[1:]):
        raise ImageError(
            "The images of one case lie on different grids.",
            "Resample them onto the grid of the first, or let read_channels do it.",
        )
    if images[0].GetDimension() != grid.dimensions:
        raise ImageError(
            f"The model works on {grid.dimensions}-D images, "
            f"this image is {images[0].GetDimension()}-D.",
            "Choose another model, or another image.",
        )
    if grid.spacing is not None:
        _check_size(images[0], grid.spacing)


def _check_size(image: sitk.Image, wanted: Sequence[float]) -> None:
    if not has_physical_spacing(image):
        raise ImageError(
            "The picture does not say how large its pixels are; the model needs their size in mm.",
            "Store it in a format that does (NRRD, MetaImage, NIfTI), or choose a model that "
            "takes pixels of any size.",
        )
    extent = np.multiply(image.GetSize(), image.GetSpacing())
    if np.prod(np.maximum(1, extent / wanted[: len(extent)])) > LARGEST:
        shown = " x ".join(f"{s:g}" for s in image.GetSpacing())
        size = " x ".join(str(n) for n in image.GetSize())
        raise ImageError(
            f"The image of {size} voxels of {shown} mm would have more than {LARGEST:.1e} voxels "
            f"at the model's {' x '.join(f'{s:g}' for s in wanted)} mm.",
            "Correct the image's spacing if it is wrong, or crop the image.",
        )


def _finite(image: sitk.Image, channel: Channel) -> np.ndarray:
    """The voxels as float32 [z, y, x], a copy. Raises ``ImageError`` for NaN and infinity."""
    with np.errstate(over="ignore"):
        array = _as_volume(sitk.GetArrayViewFromImage(image)).astype(np.float32)
    if not np.isfinite(array.sum(dtype=np.float64)):  # no mask of the volume's size
        raise ImageError(
            f"The image for {channel.name} holds values that are no finite 32-bit numbers.",
            "Replace NaN, infinite and absurdly large values, by 0 for instance.",
        )
    return array


def _to_spacing(
    oriented: sitk.Image, grid: Grid, interpolation: str, part: Block | None = None
) -> sitk.Image:
    """``part`` : of the result."""
    return resample_spacing(oriented, _spacing(oriented, grid), interpolation, part)


def _spacing(oriented: sitk.Image, grid: Grid) -> Sequence[float]:
    return grid.spacing_for(oriented.GetSpacing())


def _part_on_grid(
    image: sitk.Image, oriented: sitk.Image, grid: Grid, part: Block, step: int
) -> tuple[Geometry, tuple[float, float, float], Block]:
    """A part of ``image`` in network orientation, ``Prepared.shift``, and the grid's part."""
    start, size = (np.asarray(axis) for axis in part)
    corners = [image.TransformIndexToPhysicalPoint(c.tolist()) for c in (start, start + size - 1)]
    index = [oriented.TransformPhysicalPointToIndex(corner) for corner in corners]
    low, high = np.min(index, axis=0), np.max(index, axis=0)
    origin = oriented.TransformIndexToPhysicalPoint(low.tolist())
    spacing = oriented.GetSpacing()
    geometry = Geometry(tuple((high - low + 1).tolist()), spacing, origin, oriented.GetDirection())
    new, whole, first = respaced(oriented, _spacing(oriented, grid))
    ratio = new / spacing
    begin = np.maximum(np.floor((low - first) / ratio), 0).astype(int) // step * step
    end = np.minimum(np.ceil((high - first) / ratio).astype(int) + 1, whole)
    centre = first + (begin + end - 1) / 2 * ratio
    z, y, x = ((centre - (low + high) / 2) / ratio)[::-1].tolist()
    return geometry, (z, y, x), (tuple(begin.tolist()), tuple((end - begin).tolist()))


def _as_volume(array: np.ndarray) -> np.ndarray:
    return array if array.ndim == 3 else array[np.newaxis]
