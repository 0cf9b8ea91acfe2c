"""Several images of one case on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.imaging.geometry import has_physical_spacing, physical_extent, same_grid
from KDSegmentationLogic.imaging.resampling import resample_like
from KDSegmentationLogic.progress import Monitor


def on_one_grid(
    images: Sequence[sitk.Image], names: Sequence[str], monitor: Monitor
) -> list[sitk.Image]:
    """The channels of one case on the grid of the first.

    A channel on another grid is resampled in physical space (linear; beyond its edges its
    least value), and ``monitor`` is told.

    Parameters
    ----------
    names : of the images, as messages call them.

    Raises
    ------
    ImageError : a channel shares no place with the first one.
    """
    first = images[0]
    channels = [first]
    for image, name in zip(images[1:], names[1:], strict=True):
        if not same_grid(image, first):
            _check_match(image, name, first, names[0])
            monitor.notice(
                f"{name} was resampled onto the grid of {names[0]}: {_difference(image, first)}."
            )
            least = float(sitk.GetArrayViewFromImage(image).min())
            image = resample_like(image, first, "linear", outside=least)
        channels.append(image)
    return channels


def _check_match(image: sitk.Image, name: str, first: sitk.Image, first_name: str) -> None:
    """Refuse channels that cannot be laid over each other by their positions."""
    comparable = image.GetDimension() == first.GetDimension()
    if not (comparable and has_physical_spacing(image) and has_physical_spacing(first)):
        raise ImageError(
            f"{name} ({_size(image)}) and {first_name} ({_size(first)}) differ in size, and"
            " nothing says how to lay one over the other.",
            "Give channels of the same size.",
        )
    (low_a, high_a), (low_b, high_b) = physical_extent(image), physical_extent(first)
    apart = np.maximum(low_a, low_b) >= np.minimum(high_a, high_b)
    if apart.any():
        raise ImageError(
            f"{name} and {first_name} do not overlap in space.",
            "Register the channels, or check that both belong to the same case.",
        )


def _difference(image: sitk.Image, first: sitk.Image) -> str:
    if image.GetSize() != first.GetSize():
        return f"its size is {_size(image)} instead of {_size(first)}"
    if not np.allclose(image.GetSpacing(), first.GetSpacing(), rtol=1e-4):
        return "its voxel spacing differs"
    if not np.allclose(image.GetDirection(), first.GetDirection(), atol=1e-4):
        return "its orientation differs"
    return "its origin differs"


def _size(image: sitk.Image) -> str:
    return " x ".join(map(str, image.GetSize()))
