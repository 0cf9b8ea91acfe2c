"""One DICOM file: whether it is an image, and where its slice lies.

Only through SimpleITK's GDCM, save the class of the object, which GDCM does not tell of a file
that is no image.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_NO_IMAGE = {
    "1.2.840.10008.1.3.10": "a DICOMDIR index",
    _STORAGE + "66.4": "a segmentation (SEG)",
    _STORAGE + "66.7": "a segmentation (SEG)",
    _STORAGE + "481.3": "a structure set (RTSTRUCT)",
    _STORAGE + "481.5": "a radiotherapy plan",
    _STORAGE + "481.8": "a radiotherapy plan",
    _STORAGE + "66": "raw data, a registration or fiducials",
    _STORAGE + "88": "a structured report",
    _STORAGE + "11": "a presentation state",
    _STORAGE + "104": "an encapsulated document",
    _STORAGE + "9": "a waveform",
}


@dataclass(frozen=True)
class Slice:
    """Geometry of one file: LPS mm; None where the file does not give it."""

    path: Path
    uid: str
    description: str
    modality: str
    size: tuple[int, ...]
    frames: int
    pixel_id: int
    spacing: tuple[float, ...]
    has_spacing: bool
    thickness: float
    orientation: np.ndarray | None
    position: np.ndarray | None

    @property
    def normal(self) -> np.ndarray:
        assert self.orientation is not None
        return np.cross(self.orientation[:3], self.orientation[3:])


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by its mark, or where that is missing by GDCM's judgement."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:132] == b"DICM":
        return True
    if len(start) < 132 or start[0] not in (0x02, 0x08) or start[1] != 0:
        return False  # an old file without mark begins with group 0002 or 0008
    return sitk.ImageFileReader.GetImageIOFromFileName(str(path)) == "GDCMImageIO"


def other_kind(path: Path) -> str:
    """What a DICOM object without an image is; "" for an image."""
    storage = _storage_class(path)
    if storage in _NO_IMAGE:
        return _NO_IMAGE[storage]
    matches = [kind for root, kind in _NO_IMAGE.items() if storage.startswith(root + ".")]
    return matches[0] if matches else ""


def no_image(path: Path, kind: str) -> ImageError:
    return ImageError(f"{path} is not an image but {kind}.", "Give the image series it belongs to.")


def read_slice(path: Path) -> Slice:
    """Geometry and names of one image file, pixels not yet read. Raises ``ImageError``."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ImageError(
            f"The DICOM file {path} is damaged, cut short, or holds no image.",
            "Export it again, or take it out of the folder.",
        ) from error

    def text(tag: str) -> str:
        return _decoded(reader.GetMetaData(tag)) if reader.HasMetaDataKey(tag) else ""

    frames = _numbers(text("0028|0008"))
    thickness = _numbers(text("0018|0050"))
    return Slice(
        path=path,
        uid=text("0020|000e"),
        description=text("0008|103e"),
        modality=text("0008|0060"),
        size=reader.GetSize()[:2],
        frames=int(frames[0]) if frames is not None else 1,
        pixel_id=reader.GetPixelID(),
        spacing=reader.GetSpacing()[:2],
        has_spacing=bool(text("0028|0030") or text("0018|1164"))
        or reader.GetSpacing()[:2] != (1.0, 1.0),
        thickness=float(thickness[0]) if thickness is not None else 0.0,
        orientation=_numbers(text("0020|0037"), 6),
        position=_numbers(text("0020|0032"), 3),
    )


def _decoded(value: str) -> str:
    """A DICOM text as Python text: Latin-1 where it is not UTF-8, no padding."""
    raw = value.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8").strip(" \0")
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip(" \0")


def _numbers(text: str, count: int = 1) -> np.ndarray | None:
    try:
        values = np.array([float(part) for part in text.split("\\")])
    except ValueError:
        return None
    return values if len(values) == count and np.isfinite(values).all() else None


def _storage_class(path: Path) -> str:
    """Media storage SOP class UID from the file's meta group, "" where there is none.

    The group is always written in explicit VR, little endian (DICOM PS3.10, 7.1): tag, VR,
    length, value; OB has a longer length field.
    """
    with path.open("rb") as file:
        raw = file.read(2048)
    at = 132
    while raw[128:132] == b"DICM" and at + 12 <= len(raw) and raw[at : at + 2] == b"\x02\x00":
        long = raw[at + 4 : at + 6] == b"OB"
        width = 4 if long else 2
        start = at + (12 if long else 8)
        length = int.from_bytes(raw[start - width : start], "little")
        if raw[at + 2 : at + 4] == b"\x02\x00":
            return raw[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        at = start + length
    return ""
