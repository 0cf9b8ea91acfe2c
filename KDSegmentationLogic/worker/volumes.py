"""Handing volumes from one process to another: bare voxels in a file that both map.

No format, no conversion, no compression. A result is mostly background, so of results only
the block that is not zero is written. Writing goes through the file, not through a mapping,
since a full disk is an error there and a crash here.
"""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError, KDSegError
from KDSegmentationLogic.imaging.geometry import MODALITY_KEY

MIB = 2**20


@dataclass(frozen=True)
class Volume:
    """A volume whose voxels lie in a file, x fastest, the components of a voxel side by side.

    file : name of the file in the folder that both sides know.
    dtype : numpy's name of the type, with its byte order.
    size, spacing, origin, direction : as SimpleITK's (x, y[, z]; LPS mm; row by row).
    components : of a vector image; none for a scalar one.
    start, stored : the block (x, y[, z]) that the file holds, all else being 0; none: all.
    modality : what the image says it is, e.g. "MR".
    """

    file: str
    dtype: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    components: int | None = None
    start: tuple[int, ...] | None = None
    stored: tuple[int, ...] | None = None
    modality: str | None = None

    def __post_init__(self) -> None:
        if not self.file or {PurePosixPath(self.file).name, PureWindowsPath(self.file).name} != {
            self.file
        }:
            raise ValueError(f"{self.file!r} is not the plain name of a file")
        try:
            known = np.dtype(self.dtype).kind in "uif"
        except TypeError:
            known = False
        if not known:
            raise ValueError(f"{self.dtype!r} is not a type of numbers")
        n = len(self.size)
        if n not in (2, 3) or len(self.direction) != n * n or min(self.size) < 1:
            raise ValueError("it is neither a 2-D nor a 3-D image")
        start, stored = self.block
        if not len(self.spacing) == len(self.origin) == len(start) == len(stored) == n or any(
            s < 0 or w < 1 or s + w > whole
            for s, w, whole in zip(start, stored, self.size, strict=True)
        ):
            raise ValueError("its geometry contradicts itself")

    @property
    def block(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First index and size (x, y[, z]) of what the file holds."""
        return self.start or (0,) * len(self.size), self.stored or self.size

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array in the file: [z, y, x] or [z, y, x, c]."""
        return self.block[1][::-1] + (() if self.components is None else (self.components,))

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def write_volume(image: sitk.Image, folder: Path, name: str) -> Volume:
    """Write all voxels to the new file ``name`` in ``folder``.

    Raises
    ------
    KDSegError : there is no room, or no such folder.
    ImageError : the pixels are no real numbers, or the geometry is not finite.
    """
    volume = describe(image, name)
    _write(sitk.GetArrayViewFromImage(image), volume, folder)
    return volume


def write_result(image: sitk.Image, folder: Path, name: str) -> Volume:
    """As ``write_volume``, but only the block outside of which all is 0."""
    volume = describe(image, name)
    array = sitk.GetArrayViewFromImage(image)
    block = _filled(array, image.GetDimension())
    start = tuple(part.start for part in reversed(block))
    stored = tuple(part.stop - part.start for part in reversed(block))
    if stored != volume.size:
        volume = replace(volume, start=start, stored=stored)
    _write(array[block], volume, folder)
    return volume


def read_volume(volume: Volume, folder: Path) -> sitk.Image:
    """The image, copied out of the file, which may then be removed.

    Raises
    ------
    KDSegError : the file is missing, shorter or longer than described.
    """
    array = _map(volume, folder)
    image = sitk.GetImageFromArray(array, isVector=volume.components is not None)
    if image.GetSize() != volume.size:
        part = image
        image = sitk.Image(volume.size, part.GetPixelID(), part.GetNumberOfComponentsPerPixel())
        start, stored = volume.block
        # in place: what Paste does to a copy costs ten times as much
        image[tuple(slice(s, s + n) for s, n in zip(start, stored, strict=True))] = part
    image.SetSpacing(volume.spacing)
    image.SetOrigin(volume.origin)
    image.SetDirection(volume.direction)
    if volume.modality is not None:
        image.SetMetaData(MODALITY_KEY, volume.modality)
    return image


def holds(volume: Volume, folder: Path, image: sitk.Image) -> bool:
    """Whether the file holds exactly this image, bit by bit.

    Comparing costs a fraction of writing it again, and of reading it on the other side.
    """
    if describe(image, volume.file) != volume:
        return False
    given = sitk.GetArrayViewFromImage(image).reshape(-1).view(np.uint8)
    # read piece by piece into one buffer, not mapped: 2 instead of 7 ms for 8.7 MiB
    buffer = np.empty(min(MIB, volume.nbytes), np.uint8)
    try:
        with (folder / volume.file).open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != volume.nbytes:
                return False
            for start in range(0, volume.nbytes, MIB):
                piece = buffer[: min(MIB, volume.nbytes - start)]
                if file.readinto(piece.data) != len(piece):
                    return False
                if not np.array_equal(piece, given[start : start + len(piece)]):
                    return False
    except OSError:
        return False
    return True


def remove_file(volume: Volume, folder: Path) -> None:
    """Remove the volume's file; where Windows still has it mapped, closing the folder will."""
    with contextlib.suppress(OSError):
        (folder / volume.file).unlink()


def describe(image: sitk.Image, name: str) -> Volume:
    """What ``write_volume`` would return, without writing. Raises ``ImageError``."""
    if not all(map(math.isfinite, (*image.GetOrigin(), *image.GetDirection()))):
        raise ImageError(
            "The image's origin or direction is not a finite number.", "Correct its geometry."
        )
    array = sitk.GetArrayViewFromImage(image)
    vector = image.GetPixelIDTypeAsString().startswith("vector")
    try:
        return Volume(
            name,
            array.dtype.newbyteorder("=").str,
            image.GetSize(),
            image.GetSpacing(),
            image.GetOrigin(),
            image.GetDirection(),
            image.GetNumberOfComponentsPerPixel() if vector else None,
            modality=image.GetMetaData(MODALITY_KEY)
            if image.HasMetaDataKey(MODALITY_KEY)
            else None,
        )
    except ValueError as error:
        raise ImageError(
            f"The image cannot be segmented: {error}.",
            "Give a 2-D or 3-D image whose voxels are real numbers.",
        ) from None


def _write(array: np.ndarray, volume: Volume, folder: Path) -> None:
    path = folder / volume.file
    try:
        with path.open("xb") as file:
            # A block of a larger array is not contiguous: plane by plane, so without a copy of it.
            for plane in [array] if array.flags.c_contiguous else array:
                file.write(np.ascontiguousarray(plane).data.cast("B"))
    except OSError as error:
        remove_file(volume, folder)
        raise KDSegError(
            f"A volume of {volume.nbytes / MIB:.1f} MiB could not be written to the temporary"
            f" folder {folder} ({error.strerror or error}).",
            "Make room on that disk, or start again with TMPDIR (Windows: TEMP) set to a folder"
            " that has it.",
        ) from error


def _map(volume: Volume, folder: Path) -> np.ndarray:
    path = folder / volume.file
    try:
        found = path.stat().st_size
        if found == volume.nbytes:
            return np.memmap(path, np.dtype(volume.dtype), "r", shape=volume.shape)
        problem = f"holds {found} bytes instead of {volume.nbytes}"
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
    raise KDSegError(
        f"The temporary file {path}, through which a volume was handed over, {problem}.",
        "Run it again; if it comes back, see that nothing cleans that folder and that its disk"
        " has room.",
    )


def _filled(array: np.ndarray, dimensions: int) -> tuple[slice, ...]:
    """The smallest block outside of which all is 0; one voxel where everything is."""
    block: list[slice] = []
    for axis in range(dimensions):
        part = array[tuple(block)]
        others = tuple(k for k in range(array.ndim) if k != axis)
        found = np.flatnonzero(part.any(axis=others))
        ends = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 1)
        block.append(slice(*ends))
    return tuple(block)
