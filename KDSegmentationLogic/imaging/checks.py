"""What an image must be before anything is computed from it."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError

SHEAR_TOLERANCE = 1e-4
"""Largest entry of ``D^T D - I`` for a direction matrix D whose axes count as orthonormal."""

_COMPLEX = (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64)


def check_image(image: sitk.Image, source: str) -> None:
    """Refuse an image from which no meaningful result can come.

    Parameters
    ----------
    source : the file or node, as the message names it.

    Raises
    ------
    ImageError : not 2-D or 3-D, colour or vector or complex pixels, an empty axis, spacing
        not positive, axes not orthonormal within ``SHEAR_TOLERANCE``, NaN or infinite values.
    """
    check_dimension(image.GetDimension(), source)
    _check_pixels(image, source)
    check_size(image.GetSize(), source)
    spacing = np.asarray(image.GetSpacing())
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise bad_spacing(source)
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))
    shear = np.abs(direction.T @ direction - np.eye(dimension)).max()
    if not (shear <= SHEAR_TOLERANCE and np.isfinite(image.GetOrigin()).all()):
        raise sheared(source)
    _check_values(image, source)


def check_dimension(dimension: int, source: str) -> None:
    """Refuse what is neither a picture nor a volume. Raises ``ImageError``."""
    if dimension not in (2, 3):
        raise ImageError(
            f"{source} has {dimension} dimensions, such as a time series or several channels"
            " in one file.",
            "Split it and give each 3-D volume as a file of its own.",
        )


def check_size(size: tuple[int, ...], source: str) -> None:
    """Refuse a size that leaves no voxel. Raises ``ImageError``."""
    if any(length < 1 for length in size):
        raise ImageError(
            f"{source} has an empty axis: its size is {' x '.join(map(str, size))}.",
            "Export the image again.",
        )


def bad_spacing(source: str) -> ImageError:
    return ImageError(
        f"{source} has a voxel spacing that is not a positive length.",
        "Correct the spacing in the program that wrote the file, and export it again.",
    )


def sheared(source: str) -> ImageError:
    return ImageError(
        f"{source} has a sheared or degenerate direction matrix: its axes do not stand at"
        " right angles.",
        "Resample it onto a straight grid first, e.g. in Slicer by hardening its transform.",
    )


def not_finite(count: int, source: str) -> ImageError:
    return ImageError(
        f"{source} holds {count} values that are not a number or infinite.",
        "Replace them, e.g. by the value of the background, and save the image again.",
    )


def _check_pixels(image: sitk.Image, source: str) -> None:
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise ImageError(
            f"{source} has {image.GetNumberOfComponentsPerPixel()} values per pixel, such as"
            " colour or a vector.",
            "Convert it to grey values, or split it into one file per channel.",
        )
    if image.GetPixelID() in _COMPLEX:
        raise ImageError(
            f"{source} holds complex numbers.", "Export the magnitude as an image of its own."
        )


def _check_values(image: sitk.Image, source: str) -> None:
    values = sitk.GetArrayViewFromImage(image)
    if values.dtype.kind != "f":
        return
    # Slice by slice: a mask of the whole volume would cost a quarter of its memory again.
    bad = sum(int(np.count_nonzero(~np.isfinite(part))) for part in values)
    if bad:
        raise not_finite(bad, source)
