"""What SimpleITK does not say about a NIfTI file: cut short, or placed ambiguously.

ITK fills the missing end of a file with zeros without a word, also of a damaged ``.gz``; it
replaces a spacing of zero by one and a NaN by zero; and where the sform is no straight grid it
silently takes the qform. So the header is read here as well (NIfTI-1 standard, fields by byte
offset).
"""

from __future__ import annotations

import contextlib
import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.imaging.checks import bad_spacing, check_size, not_finite, sheared

POSITION_TOLERANCE = 0.1
"""Part of the smallest spacing by which sform and image may differ in a corner."""

_HEADER = 348
_BLOCK = 1 << 22
_FLOATS = {16: "f4", 64: "f8"}
_MM = {1: 1000.0, 3: 0.001}  # xyzt_units: metres, micrometres; all else counts as mm


@dataclass(frozen=True)
class NiftiHeader:
    """The fields checked here.

    ``start`` and ``end`` of the data in bytes; ``float_type`` of the values as stored, None for
    integers; ``sform`` is 3 x 4 in LPS mm.
    """

    shape: tuple[int, ...]
    pixdim: tuple[float, ...]
    start: int
    end: int
    float_type: np.dtype | None
    qform_code: int
    sform_code: int
    sform: np.ndarray


def read_header(path: Path) -> NiftiHeader:
    """Read the header of a ``.nii`` or ``.nii.gz`` and see that the file holds all its data.

    A compressed file is unpacked once to its end, which its checksum needs (about a second for
    a CT of 500 slices).

    Raises
    ------
    ImageError : no NIfTI-1 file, NIfTI-2, damaged, cut short, spacing that is none, or
        values that are not finite.
    """
    try:
        with _unpacked(path) as file:
            header = _parse(path, file.read(_HEADER))
            _check_data(path, file, header)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImageError(
            f"{path} is damaged or cut short: its compressed data end wrongly.",
            "Copy or download the file again.",
        ) from error
    used = header.pixdim[: min(3, len(header.shape))]
    if not all(np.isfinite(step) and step != 0 for step in used):
        raise bad_spacing(str(path))
    return header


def check_position(header: NiftiHeader, image: sitk.Image, path: Path) -> None:
    """Refuse a file whose sform, where that is its position, is not where ITK puts the voxels.

    A sform into another space (code 2 to 4) beside a qform is a registration result, not the
    image's position, and may be anything.
    """
    its_position = header.sform_code == 1 or (header.sform_code > 0 and header.qform_code == 0)
    if not its_position or image.GetDimension() != 3:
        return
    columns = header.sform[:, :3]
    ends = [(0, size - 1) for size in image.GetSize()]
    for index in np.array(np.meshgrid(*ends)).reshape(3, -1).T:
        stated = columns @ index + header.sform[:, 3]
        away = np.abs(stated - image.TransformContinuousIndexToPhysicalPoint(index.tolist()))
        if not away.max() <= POSITION_TOLERANCE * min(image.GetSpacing()):
            raise _misplaced(columns, path)


def _misplaced(columns: np.ndarray, path: Path) -> ImageError:
    lengths = np.linalg.norm(columns, axis=0)
    with np.errstate(all="ignore"):
        cosines = columns / lengths
        off = np.abs(cosines.T @ cosines - np.eye(3)).max()
    if not off <= 1e-3:
        return sheared(str(path))
    return ImageError(
        f"{path} states two positions that contradict each other: its sform differs from its"
        " qform or from its voxel spacing.",
        "Export it again, so that both agree.",
    )


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if packed:
            with gzip.open(file, "rb") as content:
                yield content
        else:
            yield file


def _parse(path: Path, raw: bytes) -> NiftiHeader:
    endian = next((e for e in "<>" if raw[:4] == struct.pack(e + "i", 348)), None)
    if raw[:4] in (struct.pack("<i", 540), struct.pack(">i", 540)):
        raise ImageError(f"{path} is a NIfTI-2 file, which is not read.", "Save it as NIfTI-1.")
    if endian is None or len(raw) < _HEADER or raw[344:347] != b"n+1":
        raise ImageError(
            f"{path} is not a NIfTI image, or its header is cut short.",
            "Check that the file is what its ending says.",
        )
    dim = struct.unpack_from(endian + "8h", raw, 40)
    datatype, bits = struct.unpack_from(endian + "2h", raw, 70)
    pixdim = struct.unpack_from(endian + "8f", raw, 76)
    offset = struct.unpack_from(endian + "f", raw, 108)[0]
    if not (1 <= dim[0] <= 7 and np.isfinite(offset)):
        raise ImageError(f"{path} has a damaged NIfTI header.", "Copy or download the file again.")
    shape = dim[1 : 1 + dim[0]]
    check_size(shape, str(path))
    qform_code, sform_code = struct.unpack_from(endian + "2h", raw, 252)
    sform = np.reshape(struct.unpack_from(endian + "12f", raw, 280), (3, 4)).astype(float)
    sform[:2] *= -1  # RAS to LPS
    return NiftiHeader(
        shape=shape,
        pixdim=pixdim[1 : 1 + dim[0]],
        start=max(_HEADER, int(offset)),
        end=int(offset) + math.prod(shape) * bits // 8,
        float_type=np.dtype(endian + _FLOATS[datatype]) if datatype in _FLOATS else None,
        qform_code=qform_code,
        sform_code=sform_code,
        sform=sform * _MM.get(raw[123] & 7, 1.0),
    )


def _check_data(path: Path, file: BinaryIO | gzip.GzipFile, header: NiftiHeader) -> None:
    """Read on to the end of the file, which says whether it is whole and its values finite."""
    kind = header.float_type
    if kind is None and not isinstance(file, gzip.GzipFile):
        _check_length(path, path.stat().st_size, header)
        return
    held = _HEADER + len(file.read(header.start - _HEADER))
    bad = 0
    while block := file.read(_BLOCK):
        if kind:
            data = block[: max(0, header.end - held)]
            values = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
            bad += int(np.count_nonzero(~np.isfinite(values)))
        held += len(block)
    _check_length(path, held, header)
    if bad:
        raise not_finite(bad, str(path))


def _check_length(path: Path, held: int, header: NiftiHeader) -> None:
    if held < header.end:
        raise ImageError(
            f"{path} is cut short: {held} of {header.end} bytes are there.",
            "Copy or download the file again.",
        )
