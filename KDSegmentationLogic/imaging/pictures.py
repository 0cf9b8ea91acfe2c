"""Flat pictures (PNG, JPEG, BMP, TIFF) as 2-D grey images without a length scale.

A picture's resolution is that of a print, not of tissue: its spacing becomes one pixel and
the image says so (``geometry.has_physical_spacing``).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.imaging.geometry import UNIT_KEY

_MARKS = {
    ".png": (b"\x89PNG",),
    ".jpg": (b"\xff\xd8",),
    ".jpeg": (b"\xff\xd8",),
    ".bmp": (b"BM",),
    ".tif": (b"II", b"MM"),
    ".tiff": (b"II", b"MM"),
}
PICTURES = tuple(_MARKS)
"""File endings of pictures."""


def check_complete(path: Path) -> None:
    """Refuse a file that is no picture, which ITK reads as one of no size, or is cut short.

    Of a JPEG or BMP cut short ITK fills the missing part with grey; PNG and TIFF it refuses.
    """
    held = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(34)
        file.seek(max(0, held - 1024))
        end = file.read()
    ending = path.suffix.lower()
    if not start.startswith(_MARKS[ending]):
        raise ImageError(
            f"{path} cannot be read: it is no {ending} image.",
            "Check that the file is what its ending says.",
        )
    if start[:2] == b"\xff\xd8":
        whole = b"\xff\xd9" in end
    elif start[:2] == b"BM" and len(start) == 34:
        offset, _, width, height, _, bits, packing = struct.unpack_from("<IIiiHHI", start, 10)
        rows = (width * bits + 31) // 32 * 4 * abs(height)
        whole = packing != 0 or held >= offset + rows
    else:
        return
    if not whole:
        raise ImageError(f"{path} is cut short.", "Copy or download the file again.")


def as_grey(image: sitk.Image, path: Path) -> sitk.Image:
    """The picture as a scalar image with unit spacing.

    Grey stored as colour (equal channels, any transparency) is taken as grey.

    Raises
    ------
    ImageError : true colour, or several pages.
    """
    if image.GetDimension() != 2:
        raise ImageError(
            f"{path} holds several pages, of which nothing says how far apart they lie.",
            "Save the pages as one NIfTI or NRRD volume with its spacing, or as single files.",
        )
    if image.GetNumberOfComponentsPerPixel() >= 3:
        channels = sitk.GetArrayViewFromImage(image)
        if not (
            np.array_equal(channels[..., 0], channels[..., 1])
            and np.array_equal(channels[..., 0], channels[..., 2])
        ):
            raise ImageError(
                f"{path} is a colour picture; grey values are needed.",
                "Convert it to grey, or save each channel as a picture of its own.",
            )
        image = sitk.VectorIndexSelectionCast(image, 0)
    image.SetSpacing((1.0, 1.0))
    image.SetOrigin((0.0, 0.0))
    image.SetMetaData(UNIT_KEY, "pixel")
    return image
