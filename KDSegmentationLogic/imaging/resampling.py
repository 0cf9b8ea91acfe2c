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

_INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor}


def resample_spacing(
    image: sitk.Image, spacing_xyz: Sequence[float | None], interpolation: str = "linear"
) -> sitk.Image:
    """The image with exactly the spacing asked for, along the same axes, round the same centre.

    Parameters
    ----------
    spacing_xyz : new spacing per axis, mm; None keeps the image's own.
    interpolation : ``linear`` (result Float32, or Float64 where the image is), ``cubic`` (B-spline,
        result Float32, see ``cubic``) or ``nearest`` (pixel type kept).

    Returns
    -------
    ``max(1, round(size * old / new))`` voxels per axis; points beyond the outermost voxel
    centres take the nearest voxel's value, so no border of zeros appears. Where all spacings
    agree within 1e-6 the image itself.
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
    if same.all():
        return image
    new = np.where(same, old, new)

    old_size = np.asarray(image.GetSize())
    size = np.where(same, old_size, np.maximum(1, np.rint(old_size * old / new))).astype(int)
    axes = axes_of(image)
    to_centre = axes @ ((old_size - 1) / 2) - (axes / old * new) @ ((size - 1) / 2)

    origin = (np.asarray(image.GetOrigin()) + to_centre).tolist()
    if interpolation == "cubic":
        result = _cubic(image, size, new)
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


def _cubic(image: sitk.Image, size: np.ndarray, spacing: np.ndarray) -> sitk.Image:
    """Voxels alone, on ``size`` voxels of ``spacing`` round the same centre."""
    matrices: list[np.ndarray | None] = []
    for count, old, length, new in zip(
        image.GetSize(), image.GetSpacing(), size, spacing, strict=True
    ):
        offset = (np.arange(length) - (length - 1) / 2) * (new / old)
        same = new == old and length == count
        matrices.append(None if same else cubic_matrix(offset + (count - 1) / 2, count))
    array = resample_cubic(sitk.GetArrayViewFromImage(image), matrices[::-1])
    return sitk.GetImageFromArray(array)


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
