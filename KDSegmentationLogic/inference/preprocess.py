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
from KDSegmentationLogic.imaging.geometry import same_grid, to_orientation
from KDSegmentationLogic.imaging.resampling import resample_spacing


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
    oriented : the source (or its crop) in network orientation before resampling.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    oriented: Geometry

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


def preprocess(images: Sequence[sitk.Image], channels: Sequence[Channel], grid: Grid) -> Prepared:
    """Orient, resample (linear) and normalise one case.

    Parameters
    ----------
    images : one scalar image a channel, in the order of ``channels``, all on one grid.

    Raises
    ------
    ImageError : wrong number of images, different grids, or 3-D where the model is 2-D.
    """
    _check_inputs(images, channels, grid)
    arrays = []
    for image, channel in zip(images, channels, strict=True):
        oriented = to_orientation(image, grid.orientation)
        geometry = Geometry.of(oriented)
        resampled = _to_spacing(oriented, grid, "linear")
        array = _as_volume(sitk.GetArrayViewFromImage(resampled)).astype(np.float32)
        arrays.append(normalise(array, channel.normalisation))
    x, y, *z = resampled.GetSpacing()
    spacing = (x, y, z[0] if z else 1.0)
    stacked = arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)
    return Prepared(stacked, spacing, geometry)


def preprocess_labels(labels: sitk.Image, grid: Grid) -> np.ndarray:
    """Labels on the network's grid: [z, y, x], by nearest neighbour (training only)."""
    oriented = to_orientation(labels, grid.orientation)
    return _as_volume(sitk.GetArrayFromImage(_to_spacing(oriented, grid, "nearest")))


def normalise(array: np.ndarray, how: Normalisation) -> np.ndarray:
    """Normalise one channel, float32 [z, y, x], in place where possible.

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
    mean, std = _mean_and_deviation(array, how.nonzero)
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


def _check_inputs(images: Sequence[sitk.Image], channels: Sequence[Channel], grid: Grid) -> None:
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


def _to_spacing(oriented: sitk.Image, grid: Grid, interpolation: str) -> sitk.Image:
    if grid.spacing is None:
        return oriented
    return resample_spacing(oriented, grid.spacing[: oriented.GetDimension()], interpolation)


def _as_volume(array: np.ndarray) -> np.ndarray:
    return array if array.ndim == 3 else array[np.newaxis]
