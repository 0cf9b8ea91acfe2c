"""DICOM series as volumes, with the position of every slice checked.

GDCM, through SimpleITK, decodes; it does not refuse a series that lacks a slice, and neither
does ITK: the volume is merely stretched. So the slices are grouped, sorted and judged here.

Tolerances
----------
- gaps between slices: 1 % of their median, at least 0.01 mm (``GAP_TOLERANCE``);
- sideways drift of the stack (gantry tilt): a quarter of a pixel over the whole stack;
- orientation and pixel spacing: 1e-3 between slices.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.imaging.dicom_file import (
    Slice,
    is_dicom,
    no_image,
    other_kind,
    read_slice,
)
from KDSegmentationLogic.imaging.geometry import MODALITY_KEY, UNIT_KEY
from KDSegmentationLogic.progress import Monitor

GAP_TOLERANCE = 0.01
GAP_TOLERANCE_MM = 0.01
DRIFT_TOLERANCE_PIXELS = 0.25
GRID_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Series:
    """One image series of a folder. ``uid`` is empty where the files have none."""

    uid: str
    description: str
    modality: str
    slices: int
    folder: Path

    def __str__(self) -> str:
        name = self.uid or "(without UID)"
        return f"{name} ({self.modality} '{self.description}', {self.slices} slices)"


def list_series(folder: Path, monitor: Monitor | None = None) -> list[Series]:
    """The image series in a folder and its subfolders, sorted by folder and UID.

    Files that are not DICOM, and DICOM objects that are no images (SEG, RTSTRUCT, reports),
    are passed over.

    Raises
    ------
    ImageError : a DICOM image among them cannot be read.
    """
    groups, _ = _scan(Path(folder), monitor)
    series = [_describe(slices) for slices in groups.values()]
    return sorted(series, key=lambda one: (str(one.folder), one.uid))


def read_series(folder: Path, uid: str | None = None, monitor: Monitor | None = None) -> sitk.Image:
    """One series as a volume, slices in ascending order along their normal, rescale applied.

    Parameters
    ----------
    uid : the Series Instance UID; may be left out where the folder has one image series.

    Raises
    ------
    ImageError : no or several series, a series that is not there, slices missing, doubled,
        unevenly spaced, tilted, or of different size, orientation or pixel spacing (the
        tolerances stand at the head of this file).
    """
    folder = Path(folder)
    slices = _chosen(folder, uid, monitor)
    name = f" {slices[0].uid}" if slices[0].uid else ""
    return _read(slices, f"The DICOM series{name} in {folder}")


def series_files(folder: Path, uid: str | None = None) -> list[Path]:
    """The files that ``read_series`` would read, by name; pixels and places are not checked.

    Raises
    ------
    ImageError : no or several series, or one that is not there.
    """
    return [one.path for one in _chosen(Path(folder), uid, None)]


def read_single(path: Path) -> sitk.Image:
    """One DICOM file as a volume of one slice. Raises ``ImageError``."""
    path = Path(path)
    kind = other_kind(path)
    if kind:
        raise no_image(path, kind)
    return _read([read_slice(path)], f"The DICOM file {path}")


def _scan(
    folder: Path, monitor: Monitor | None
) -> tuple[dict[str, list[Slice]], list[tuple[Path, str]]]:
    """Slices by series UID, and (path, what it is) of DICOM objects that are no images."""
    monitor = monitor or Monitor()
    groups: dict[str, list[Slice]] = {}
    others = []
    for path in _files(folder):
        monitor.check()
        if not _readable_dicom(path):
            continue
        kind = other_kind(path)
        if kind:
            others.append((path, kind))
        else:
            one = read_slice(path)
            groups.setdefault(one.uid, []).append(one)
    return groups, others


def _readable_dicom(path: Path) -> bool:
    try:
        return is_dicom(path)
    except OSError as error:
        raise ImageError(
            f"{path} cannot be opened ({error.strerror}).", "Check the file and its permissions."
        ) from error


def _files(folder: Path) -> Iterable[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent) / name
            if path.is_file():
                yield path


def _describe(slices: list[Slice]) -> Series:
    folder = Path(os.path.commonpath([str(one.path.parent) for one in slices]))
    first = slices[0]
    return Series(first.uid, first.description, first.modality, len(slices), folder)


def _chosen(folder: Path, uid: str | None, monitor: Monitor | None) -> list[Slice]:
    groups, others = _scan(folder, monitor)
    if not groups:
        if others:
            raise no_image(*others[0])
        raise ImageError(
            f"The folder {folder} holds no DICOM images.",
            "Give a folder of DICOM images, or an image file.",
        )
    listing = "; ".join(str(_describe(slices)) for slices in groups.values())
    if uid is not None:
        if uid not in groups:
            raise ImageError(
                f"The folder {folder} has no image series {uid}.", f"It has: {listing}."
            )
        return groups[uid]
    if len(groups) > 1:
        raise ImageError(
            f"The folder {folder} holds {len(groups)} series: {listing}.",
            "Choose one with its UID (--series UID).",
        )
    return next(iter(groups.values()))


def _read(slices: list[Slice], source: str) -> sitk.Image:
    for one in slices:
        if one.frames > 1:
            raise ImageError(
                f"The DICOM file {one.path} has {one.frames} frames, whose positions cannot be"
                " checked here.",
                "Convert it to NIfTI (e.g. with dcm2niix or Slicer) and give that.",
            )
    ordered, step = _stacked(slices, source)
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(one.path) for one in ordered])
    if len({one.pixel_id for one in ordered}) > 1:
        # Each slice has its own rescale (PET): the first one's type would cut the others.
        reader.SetOutputPixelType(sitk.sitkFloat64)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise ImageError(
            f"{source} cannot be decoded: a file is damaged, cut short, or compressed in an"
            " unknown way.",
            "Export the series again, uncompressed.",
        ) from error
    image.SetSpacing((*ordered[0].spacing, step))
    if not ordered[0].has_spacing:
        image.SetMetaData(UNIT_KEY, "pixel")
    if ordered[0].modality:
        image.SetMetaData(MODALITY_KEY, ordered[0].modality)
    return image


def _stacked(slices: list[Slice], source: str) -> tuple[list[Slice], float]:
    """The slices in order of position, and the step between them (mm)."""
    first = slices[0]
    if len(slices) == 1:
        return slices, first.thickness if first.thickness > 0 else 1.0
    _check_alike(slices, source)
    positions = np.array([one.position for one in slices])
    along = positions @ first.normal
    order = np.argsort(along, kind="stable")
    positions, along = positions[order], along[order]
    _check_gaps(along, source)

    offset = positions - positions[0]
    drift = np.abs(offset - np.outer(offset @ first.normal, first.normal)).max()
    if drift > DRIFT_TOLERANCE_PIXELS * min(first.spacing):
        raise ImageError(
            f"{source} is sheared (gantry tilt): its slices drift {drift:.2f} mm sideways.",
            "Resample it onto a straight grid first, e.g. in Slicer by hardening the"
            " transform of its acquisition geometry.",
        )
    return [slices[i] for i in order], float((along[-1] - along[0]) / (len(along) - 1))


def _check_alike(slices: list[Slice], source: str) -> None:
    """Refuse slices that are not of one kind; the odd one is that which fewest are like."""
    for one in slices:
        if one.position is None or one.orientation is None:
            raise ImageError(
                f"{source} cannot be stacked: {one.path.name} gives no position.",
                "Give the single file, or a series whose slices have positions.",
            )
    size = Counter(one.size for one in slices).most_common(1)[0][0]
    orientation = np.median([one.orientation for one in slices], axis=0)
    spacing = np.median([one.spacing for one in slices], axis=0)
    for one in slices:
        if one.size != size:
            what = f"size {one.size[0]} x {one.size[1]}, the others {size[0]} x {size[1]}"
        elif np.abs(one.orientation - orientation).max() > GRID_TOLERANCE:
            what = "another orientation than the others"
        elif np.abs(one.spacing - spacing).max() > GRID_TOLERANCE * spacing.min():
            what = "another pixel spacing than the others"
        else:
            continue
        raise ImageError(
            f"{source} is not one volume: {one.path.name} has {what}.",
            "Take the localiser or foreign slices out of the series.",
        )


def _check_gaps(along: np.ndarray, source: str) -> None:
    """Judge sorted positions along the normal (mm)."""
    gaps = np.diff(along)
    if gaps.min() < GAP_TOLERANCE_MM:
        at = along[int(np.argmin(gaps))]
        raise ImageError(
            f"{source} has several slices at {at:.2f} mm along its slice normal.",
            "Give one volume: a series of several time points or weightings must be split.",
        )
    # The lower middle one: with one gap right and one doubled, the right one is the measure.
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    away = np.abs(gaps - usual)
    if away.max() <= max(GAP_TOLERANCE * usual, GAP_TOLERANCE_MM) + 1e-6:
        return
    worst = int(np.argmax(away))
    missing = gaps[worst] / usual - 1
    whole = round(missing)
    what = (
        f"{whole} missing slice{'s' if whole > 1 else ''}"
        if whole >= 1 and abs(missing - whole) < 0.05
        else "an uneven gap"
    )
    raise ImageError(
        f"{source} has {what} between {along[worst]:.2f} mm and {along[worst + 1]:.2f} mm along"
        f" its slice normal ({gaps[worst]:.2f} mm instead of {usual:.2f} mm).",
        "Export the whole series again, or resample it to even slices.",
    )
