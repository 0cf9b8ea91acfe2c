"""Writing images, so that no reader meets half a file."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.files import atomic_file

WRITERS = {
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".png": "PNGImageIO",
}
"""Endings that are written; formats of two files (.mhd, .nhdr) cannot be replaced in one step."""


def write_image(image: sitk.Image, path: Path | str, compress: bool = True) -> None:
    """Write an image; its file appears whole or not at all. Folders on the way are made.

    Parameters
    ----------
    path : ends in one of ``WRITERS``. NIfTI keeps geometry as 32-bit floats, the others
        exactly. PNG is for 2-D images of 8 or 16 bits.
    compress : for .nrrd and .mha; .nii.gz always is compressed, .nii never.

    Raises
    ------
    ImageError : unknown ending, an image that the format cannot hold, a folder or disk that
        cannot be written to.
    """
    path = Path(path)
    name = path.name.lower()
    ending = next((one for one in WRITERS if name.endswith(one)), None)
    if ending is None:
        raise ImageError(
            f"{path} has an ending that is not written.", f"Use one of {' '.join(WRITERS)}."
        )
    if ending == ".png":
        _check_fits_png(image, path)
    try:
        with atomic_file(path) as temporary:
            # ITK knows endings in lower case only.
            plain = temporary.with_name("image" + ending)
            sitk.WriteImage(image, str(plain), compress, imageIO=WRITERS[ending])
            plain.replace(temporary)
    except OSError as error:
        raise ImageError(
            f"{path} cannot be written ({error.strerror}).",
            "Choose a folder that exists and may be written to.",
        ) from error
    except RuntimeError as error:
        raise ImageError(
            f"{path} cannot be written: the disk may be full, or the format cannot hold"
            f" pixels of {image.GetPixelIDTypeAsString()}.",
            "Free some space, or choose another ending.",
        ) from error


def _check_fits_png(image: sitk.Image, path: Path) -> None:
    fits = image.GetPixelID() in (sitk.sitkUInt8, sitk.sitkUInt16)
    if image.GetDimension() != 2 or not fits:
        raise ImageError(
            f"{path} cannot hold this image: PNG is for 2-D images of 8 or 16 bits.",
            "Choose the ending .nii.gz or .nrrd.",
        )
