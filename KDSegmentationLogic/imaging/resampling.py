"""Images on another grid.

Linear interpolation takes no low-pass filter before coarsening. That is the project's
choice: it is what the common frameworks do to their training images, and a filter used in
training but not in Slicer (or the reverse) costs more than its aliasing saves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.imaging.cubic import cubic_matrix, resample_cubic
from KDSegmentationLogic.imaging.geometry import axes_of, copy_unit

SAME_SPACING = 1e-6
"""Spacings that agree to this part of their length are one."""

_CUBIC_REACH = 12
"""Voxels that the spline's prefilter looks beyond a part: 0.27 to the power of 12 is 1e-7."""

_INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor}


def resample_spacing(
    image: sitk.Image,
    spacing_xyz: Sequence[float | None],
    interpolation: str = "linear",
    part: tuple[Sequence[int], Sequence[int]] | None = None,
) -> sitk.Image:
    """The image with exactly the spacing asked for, along the same axes, round the same centre.

    Parameters
    ----------
    spacing_xyz : new spacing per axis, mm; None keeps the image's own.
    interpolation : ``linear`` (result Float32, or Float64 where the image is), ``cubic`` (B-spline,
        result Float32, see ``cubic``) or ``nearest`` (pixel type kept).
    part : first voxel and size, of the result: nothing else of it is computed.

    Returns
    -------
    ``max(1, round(size * old / new))`` voxels per axis; points beyond the outermost voxel
    centres take the nearest voxel's value, so no border of zeros appears. Where all spacings
    agree within 1e-6 the image itself.
    """
    new, size, first = respaced(image, spacing_xyz)
    old, axes = np.asarray(image.GetSpacing()), axes_of(image)
    if (new == old).all():
        return image if part is None else sitk.RegionOfInterest(image, part[1], part[0])
    if part is not None:
        first, size = first + np.asarray(part[0]) * (new / old), np.asarray(part[1])

    origin = (np.asarray(image.GetOrigin()) + axes @ first).tolist()
    if interpolation == "cubic":
        result = _cubic(image, first, size, new)
        result.SetSpacing(new.tolist())
        result.SetDirection(image.GetDirection())
        result.SetOrigin(origin)
        return copy_unit(image, result)
    resample = _resampler(image, interpolation)
    resample.SetSize(size.tolist())
    resample.SetOutputSpacing(new.tolist())
    resample.SetOutputDirection(image.GetDirection())
    resample.SetOutputOrigin(origin)
    resample.SetUseNearestNeighborExtrapolator(True)
    return copy_unit(image, resample.Execute(image))


def respaced(
    image: sitk.Image, spacing_xyz: Sequence[float | None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the result of ``resample_spacing``: spacing, size, and where in ``image`` it begins.

    That is the (broken) index of its first voxel; x, y, z each. Raises as ``resample_spacing``.
    """
    old = np.asarray(image.GetSpacing())
    if len(spacing_xyz) != len(old):
        raise ValueError(f"{len(spacing_xyz)} spacings for an image of {len(old)} axes")
    new = np.asarray(
        [own if asked is None else asked for own, asked in zip(old, spacing_xyz, strict=True)],
        float,
    )
    if not (np.isfinite(new) & (new > 0)).all():
        raise ValueError(f"spacing {new.tolist()} is not positive")
    same = np.abs(new - old) <= SAME_SPACING * old
    new = np.where(same, old, new)
    old_size = np.asarray(image.GetSize())
    size = np.where(same, old_size, np.maximum(1, np.rint(old_size * old / new))).astype(int)
    return new, size, (old_size - 1) / 2 - (size - 1) / 2 * (new / old)


def _cubic(
    image: sitk.Image, first: np.ndarray, size: np.ndarray, spacing: np.ndarray
) -> sitk.Image:
    """Voxels alone: ``size`` of ``spacing``, from the image's (broken) index ``first`` on."""
    matrices: list[np.ndarray | None] = []
    needed: list[slice] = []
    for count, old, start, length, new in zip(
        image.GetSize(), image.GetSpacing(), first, size, spacing, strict=True
    ):
        at = start + np.arange(length) * (new / old)
        low = max(0, int(at[0]) - _CUBIC_REACH)
        high = min(count, int(np.ceil(at[-1])) + 1 + _CUBIC_REACH)
        needed.append(slice(low, high))
        same = new == old and start == low and length == high - low
        matrices.append(None if same else cubic_matrix(at - low, high - low))
    array = sitk.GetArrayViewFromImage(image)[tuple(needed[::-1])]
    return sitk.GetImageFromArray(resample_cubic(array, matrices[::-1]))


def resample_like(
    image: sitk.Image,
    reference: sitk.Image,
    interpolation: str = "linear",
    outside: float = 0.0,
) -> sitk.Image:
    """The image on the grid of ``reference``; voxels beyond the image's edges are ``outside``.

    ``interpolation`` and pixel types as for ``resample_spacing``.
    """
    resample = _resampler(image, interpolation)
    resample.SetReferenceImage(reference)
    resample.SetDefaultPixelValue(outside)
    return copy_unit(reference, resample.Execute(image))


def _resampler(image: sitk.Image, interpolation: str) -> sitk.ResampleImageFilter:
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(_INTERPOLATORS[interpolation])
    if interpolation == "linear" and image.GetPixelID() != sitk.sitkFloat64:
        # ITK cuts the decimals off where the result is an integer.
        resample.SetOutputPixelType(sitk.sitkFloat32)
    return resample
