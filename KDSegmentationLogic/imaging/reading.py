"""Reading images: every file, series or label map that enters the program comes through here.

An image is scalar, 3-D or 2-D, with checked geometry and finite values; its metadata are
dropped (a header may carry a patient's name), save the unit of its spacing and DICOM's
modality. Label maps keep theirs, since segment names live there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.imaging import dicom, nifti, pictures
from KDSegmentationLogic.imaging.channels import on_one_grid
from KDSegmentationLogic.imaging.checks import (
    bad_spacing,
    check_dimension,
    check_image,
    check_size,
    sheared,
)
from KDSegmentationLogic.imaging.dicom_file import is_dicom
from KDSegmentationLogic.imaging.geometry import MODALITY_KEY, UNIT_KEY
from KDSegmentationLogic.progress import Monitor

READERS = {
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
    ".png": "PNGImageIO",
    ".jpg": "JPEGImageIO",
    ".jpeg": "JPEGImageIO",
    ".bmp": "BMPImageIO",
    ".tif": "TIFFImageIO",
    ".tiff": "TIFFImageIO",
}
"""File endings that are read, and ITK's reader of each. DICOM is known by its content."""

MOST_STACKED = 8
"""Volumes of a 4-D file up to which they are the channels of one case; more are a time series."""


def ending_of(path: Path) -> str:
    """The ending of ``READERS`` that a file name has, lower case, or ""."""
    name = Path(path).name.lower()
    return next((ending for ending in READERS if name.endswith(ending)), "")


def read_image(
    path: Path | str, series: str | None = None, monitor: Monitor | None = None
) -> sitk.Image:
    """Read a scalar image from a file or a DICOM folder.

    Parameters
    ----------
    path : NIfTI, NRRD, MetaImage, PNG, JPEG, BMP, TIFF or DICOM file, or a DICOM folder.
    series : Series Instance UID, where a folder holds several series.

    Returns
    -------
    The image, 3-D or (pictures, flat files) 2-D, in its own pixel type, geometry in LPS mm.

    Raises
    ------
    ImageError : the file cannot be read, or is no image to compute with (``check_image``).
    """
    path = Path(path)
    image = _read(path, series, monitor)
    check_image(image, str(path))
    return _without_metadata(image)


def read_channels(paths: Sequence[Path | str], monitor: Monitor | None = None) -> list[sitk.Image]:
    """Read the channels of one case onto the grid of the first.

    A channel on another grid is resampled in physical space (linear; beyond its edges its
    least value), and ``monitor`` is told. A single NIfTI file with a fourth axis of 2 to
    ``MOST_STACKED`` volumes holds all channels, as the Medical Segmentation Decathlon stores them.

    Raises
    ------
    ImageError : as ``read_image``; or a channel that shares no place with the first one.
    """
    files = [Path(path) for path in paths]
    if len(files) == 1 and (count := _stacked(files[0])) > 1:
        return _read_stacked(files[0], count)
    images = [read_image(path, monitor=monitor) for path in files]
    return on_one_grid(images, [path.name for path in files], monitor or Monitor())


def channel_count(paths: Sequence[Path]) -> int:
    """How many channels ``read_channels`` would give, by the files' headers alone."""
    return _stacked(paths[0]) if len(paths) == 1 else len(paths)


def read_labels(path: Path | str) -> sitk.Image:
    """Read a label map: UInt8, or UInt16 where a label exceeds 255.

    A float file is taken where all its values are whole. The metadata stay.

    Raises
    ------
    ImageError : as ``read_image``; or values that are no labels (negative, broken, > 65535).
    """
    path = Path(path)
    image = _read(path, None, None)
    if path.name.lower().endswith(".seg.nrrd") and image.GetNumberOfComponentsPerPixel() > 1:
        raise ImageError(
            f"{path} is a segmentation of several layers, whose segments overlap.",
            "Export it from Slicer as a label map, in which a voxel has one label.",
        )
    check_image(image, str(path))
    values = sitk.GetArrayViewFromImage(image)
    low, high = values.min(), values.max()
    whole = values.dtype.kind != "f" or bool((values == np.rint(values)).all())
    if low < 0 or high > 65535 or not whole:
        raise ImageError(
            f"{path} is no label map: its values run from {low:g} to {high:g}"
            f"{'' if whole else ' and are not all whole'}.",
            "Give a file of whole label values between 0 and 65535.",
        )
    labels = sitk.Cast(image, sitk.sitkUInt8 if high <= 255 else sitk.sitkUInt16)
    for key in image.GetMetaDataKeys():
        labels.SetMetaData(key, image.GetMetaData(key))
    return labels


def _stacked(path: Path) -> int:
    """How many channels a 4-D NIfTI file holds; 1 for any other file, and for a time series."""
    if ending_of(path) not in (".nii", ".nii.gz") or not path.is_file():
        return 1
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READERS[".nii"])
    reader.SetFileName(str(path))
    try:
        with _quiet():
            reader.ReadImageInformation()
    except RuntimeError:
        return 1  # reading it says what is wrong
    size = reader.GetSize()
    return size[3] if len(size) == 4 and size[3] <= MOST_STACKED else 1


def _read_stacked(path: Path, count: int) -> list[sitk.Image]:
    with _quiet():
        _check_readable(path)
        header = nifti.read_header(path)
        reader = sitk.ImageFileReader()
        reader.SetImageIO(READERS[".nii"])
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        images = []
        for channel in range(count):
            reader.SetExtractSize([*reader.GetSize()[:3], 0])
            reader.SetExtractIndex([0, 0, 0, channel])
            try:
                image = reader.Execute()
            except RuntimeError as error:
                raise _translated(str(error), path, ending_of(path)) from error
            nifti.check_position(header, image, path)
            check_image(image, f"{path}, channel {channel},")
            images.append(_without_metadata(image))
    return images


def _read(path: Path, series: str | None, monitor: Monitor | None) -> sitk.Image:
    """Read whatever ``path`` is; geometry and pixels are not checked yet."""
    with _quiet():
        if path.is_dir():
            return dicom.read_series(path, series, monitor)
        if series is not None:
            raise ImageError(
                f"A series can be chosen in a folder only, and {path} is none.",
                "Give the DICOM folder, or leave the series out.",
            )
        _check_readable(path)
        ending = ending_of(path)
        if not ending:
            return _read_by_content(path)
        if ending in (".nii", ".nii.gz"):
            _check_case(path, ending)
            header = nifti.read_header(path)
            image = _read_file(path, ending)
            nifti.check_position(header, image, path)
            return image
        if ending in pictures.PICTURES:
            pictures.check_complete(path)
            return pictures.as_grey(_read_file(path, ending), path)
        return _read_file(path, ending)


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist.", "Check the path.") from error
    except OSError as error:
        raise ImageError(
            f"{path} cannot be opened ({error.strerror}).", "Check the file and its permissions."
        ) from error
    if empty:
        raise ImageError(f"{path} is empty (0 bytes).", "Copy or download the file again.")


def _check_case(path: Path, ending: str) -> None:
    """ITK's reader of NIfTI takes an ending in small or in capital letters, but none of both."""
    written = path.name[-len(ending) :]
    if written not in (ending, ending.upper()):
        stem = path.name.removesuffix(written)
        raise ImageError(
            f"The ending of {path} mixes small and capital letters, which is not read.",
            f"Rename the file to {stem}{ending}.",
        )


def _read_by_content(path: Path) -> sitk.Image:
    if is_dicom(path):
        return dicom.read_single(path)
    raise ImageError(
        f"{path} has an ending that is not read, and is no DICOM file.",
        f"Give a DICOM folder or a file that ends in one of {' '.join(READERS)}.",
    )


def _read_file(path: Path, ending: str) -> sitk.Image:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READERS[ending])
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = list(reader.GetSize())
        while len(size) > 3 and size[-1] == 1:
            size.pop()
        check_dimension(len(size), str(path))
        check_size(reader.GetSize(), str(path))
        # SimpleITK takes a size of zero in the extraction for "collapse this axis".
        reader.SetExtractSize([*size, *[0] * (reader.GetDimension() - len(size))])
        return reader.Execute()
    except RuntimeError as error:
        raise _translated(str(error), path, ending) from error


def _translated(message: str, path: Path, ending: str) -> ImageError:
    """ITK's exception as a sentence; what it says beyond this names its own source files."""
    if "orthonormal" in message:
        return sheared(str(path))
    if "Refusing to change spacing" in message or "spacing" in message.lower():
        return bad_spacing(str(path))
    if "determinant" in message.lower() or "singular" in message.lower():
        return sheared(str(path))
    detached = ending in (".mhd", ".nhdr")
    return ImageError(
        f"{path} cannot be read: it is no {ending} image, or damaged or cut short"
        f"{', or its data file is missing or too short' if detached else ''}.",
        "Check that the file is what its ending says, and copy or download it again.",
    )


def _without_metadata(image: sitk.Image) -> sitk.Image:
    for key in image.GetMetaDataKeys():
        if key not in (UNIT_KEY, MODALITY_KEY):
            image.EraseMetaData(key)
    return image


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ITK's warnings off meanwhile: what matters in them is an error here."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
