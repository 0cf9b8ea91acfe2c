"""A label map as a DICOM Segmentation object beside the series that it was made of.

Written with highdicom (extra ``dicom``): binary, only frames that hold something, each with
a reference to its source image, in the source's frame of reference. DICOM PS3.3 A.51.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import DependencyError, ImageError
from KDSegmentationLogic.files import atomic_file
from KDSegmentationLogic.imaging.dicom_file import other_kind, read_slice
from KDSegmentationLogic.imaging.geometry import back_to_grid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Coded = tuple[str, str, str]
"""Coding scheme, value and meaning, e.g. ``("SCT", "5366008", "Hippocampus")``."""

TISSUE: Coded = ("SCT", "85756007", "Tissue")

# What an anonymised file may have lost, and highdicom takes as given.
_EMPTY_IF_ABSENT = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "Modality"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)

_EVEN = 0.01  # of the step between slices; a series with a slice missing is off by all of it
_STRAIGHT = 1e-3


@dataclass(frozen=True)
class CodedSegment:
    """One structure of the label map.

    color : red, green, blue, 0 to 255. category, type : SNOMED CT as a rule; a structure
    without codes is "Tissue", as Slicer calls it. modifier : of the type, e.g. the side.
    """

    value: int
    name: str
    color: tuple[int, int, int]
    category: Coded = TISSUE
    type: Coded = TISSUE
    modifier: Coded | None = None


def write_dicom_seg(
    labels: sitk.Image,
    segments: Sequence[CodedSegment],
    sources: Sequence[Path],
    path: Path,
    algorithm: str,
    version: str = "",
) -> None:
    """Write a label map as DICOM SEG; the file appears whole or not at all.

    Parameters
    ----------
    labels : integers on the grid of the series (LPS mm); its axes may run otherwise.
    segments : what the values mean. One that no voxel has is left out: DICOM knows none
        without frames.
    sources : the files of the series, one a slice, in any order.
    algorithm, version : name and version of what segmented.

    Raises
    ------
    DependencyError : highdicom is not installed.
    ImageError : the sources are not one series of even slices, the label map is not on their
        grid, it is empty, or the file cannot be written.
    """
    datasets, grid = _opened(sources)
    try:
        placed = back_to_grid(labels, grid)
    except ValueError:
        raise ImageError(
            "The segmentation is not on the grid of its DICOM series.",
            "Segment the volume as it was loaded from the series, neither resampled nor cropped.",
        ) from None
    array = sitk.GetArrayViewFromImage(placed)
    present = [segment for segment in segments if (array == segment.value).any()]
    if not present:
        raise ImageError("The segmentation is empty.", "DICOM SEG needs a segment with voxels.")
    numbered = np.zeros(array.shape, np.uint8 if len(present) < 256 else np.uint16)
    for number, segment in enumerate(present, start=1):
        numbered[array == segment.value] = number
    dataset = _segmentation(datasets, numbered, present, algorithm, version)
    try:
        with atomic_file(Path(path)) as temporary:
            dataset.save_as(temporary)
    except OSError as error:
        raise ImageError(
            f"{path} cannot be written ({error.strerror}).",
            "Choose a folder that exists and may be written to.",
        ) from error


def check_sources(sources: Sequence[Path]) -> None:
    """Raise what ``write_dicom_seg`` would raise about these files, before there are labels."""
    _opened(sources)


def _opened(sources: Sequence[Path]) -> tuple[list[Dataset], sitk.Image]:
    """The headers of the sources in ascending order along their normal, and their grid."""
    try:
        import highdicom  # noqa: F401
        import pydicom
    except ImportError:
        raise DependencyError(
            "DICOM SEG needs the package highdicom (extra dicom), which is not installed.",
            "Run pip install highdicom, or in Slicer's Python console "
            'slicer.util.pip_install("highdicom").',
        ) from None
    files, grid = _stack(sources)
    headers = [_source(pydicom.dcmread(file, stop_before_pixels=True), file) for file in files]
    return headers, grid


def _segmentation(
    sources: Sequence[Dataset],
    numbered: np.ndarray,
    segments: Sequence[CodedSegment],
    algorithm: str,
    version: str,
) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    how = hd.AlgorithmIdentificationSequence(
        name=algorithm, family=codes.DCM.ArtificialIntelligence, version=version or "1"
    )
    descriptions = [_described(n, one, how) for n, one in enumerate(segments, start=1)]
    return hd.seg.Segmentation(
        source_images=sources,
        pixel_array=numbered,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=hd.UID(),
        series_number=1000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="KDSegmentation",
        manufacturer_model_name="KDSegmentation",
        software_versions=version or "1",
        device_serial_number="0",
        series_description=f"{algorithm} segmentation"[:64],
        omit_empty_frames=True,
    )


def _source(dataset: Any, file: Path) -> Any:
    """A source's header, its own UIDs from the file's meta group where they were blanked."""
    for name in ("SOPClassUID", "SOPInstanceUID"):
        if not dataset.get(name):
            setattr(dataset, name, dataset.file_meta.get(f"MediaStorage{name}", ""))
    wanted = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    absent = [name for name in (*wanted, "FrameOfReferenceUID") if not dataset.get(name)]
    if absent:
        raise ImageError(
            f"The DICOM file {file} has no {', '.join(absent)}, so nothing can refer to it.",
            "Anonymise the series so that UIDs are replaced, not removed; or save another format.",
        )
    for name in _EMPTY_IF_ABSENT:
        if name not in dataset:
            setattr(dataset, name, "")
    return dataset


def _described(number: int, segment: CodedSegment, how: Any) -> Any:
    import highdicom as hd

    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.name[:64],
        segmented_property_category=_code(segment.category),
        segmented_property_type=_code(segment.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=how,
        display_color=hd.color.CIELabColor.from_rgb(*segment.color),
        tracking_uid=hd.UID(),
        tracking_id=segment.name[:64],
    )
    if segment.modifier is not None:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_code(segment.modifier)]
    return description


def _code(coded: Coded) -> Any:
    import highdicom as hd

    scheme, value, meaning = coded
    return hd.sr.CodedConcept(value=value, scheme_designator=scheme, meaning=meaning[:64])


def _stack(sources: Sequence[Path]) -> tuple[list[Path], sitk.Image]:
    """The files in ascending order along their normal, and their grid (zeros, LPS mm)."""
    for path in sources:
        if other_kind(path):
            raise ImageError(f"{path} is no image.", "Give the files of the image series.")
    slices = [read_slice(path) for path in sources]
    placed = [
        (one.orientation, one.position)
        for one in slices
        if one.orientation is not None and one.position is not None
    ]
    if not slices or len(placed) < len(slices):
        raise ImageError(
            "The DICOM series has no slices with positions.", "Give the files of an image series."
        )
    first, (orientation, _) = slices[0], placed[0]
    alike = all(
        one.uid == first.uid
        and one.size == first.size
        and np.allclose(turned, orientation, atol=_STRAIGHT)
        and np.allclose(one.spacing, first.spacing, rtol=_STRAIGHT)
        for one, (turned, _) in zip(slices, placed, strict=True)
    )
    positions = np.array([position for _, position in placed])
    along = positions @ first.normal
    order = np.argsort(along)
    gaps = np.diff(along[order])
    step = float(np.median(gaps)) if len(gaps) else first.thickness or 1.0
    if not alike or (len(gaps) and np.abs(gaps - step).max() > _EVEN * abs(step)):
        raise ImageError(
            "The DICOM files are not one series of even slices.",
            "Give all files of the one series that was segmented.",
        )
    grid = sitk.Image((*first.size, len(slices)), sitk.sitkUInt8)
    grid.SetSpacing((*first.spacing, step))
    grid.SetOrigin(positions[order[0]].tolist())
    row, column = np.reshape(orientation, (2, 3))
    grid.SetDirection(np.stack([row, column, first.normal], axis=1).ravel().tolist())
    return [slices[n].path for n in order], grid
