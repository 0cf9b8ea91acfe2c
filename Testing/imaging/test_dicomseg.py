"""A label map becomes DICOM SEG, and other readers find it where and what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.errors import DependencyError, ImageError
from KDSegmentationLogic.imaging.dicom import read_series
from KDSegmentationLogic.imaging.dicomseg import CodedSegment, write_dicom_seg
from KDSegmentationLogic.imaging.geometry import to_orientation

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
highdicom = pytest.importorskip("highdicom", reason="needs the extra dicom")

ANATOMY = ("SCT", "123037004", "Anatomical Structure")
SEGMENTS = (
    CodedSegment(1, "Left kidney", (200, 60, 40), ANATOMY, ("SCT", "64033007", "Kidney"),
                 ("SCT", "7771000", "Left")),
    CodedSegment(2, "Not there", (0, 0, 0)),
    CodedSegment(7, "Something", (10, 200, 30)),
)  # fmt: skip


@pytest.fixture(scope="module")
def blanked(data_folder: Path) -> list[Path]:
    """Files of a real CT series whose UIDs were blanked with the patient's name."""
    return sorted((data_folder / "TotalSegmentatorCT" / "example_ct_dicom").iterdir())


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory, blanked: list[Path]) -> list[Path]:
    """The same with UIDs, in no order."""
    folder = tmp_path_factory.mktemp("series")
    study, uid, frame = (pydicom.uid.generate_uid() for _ in range(3))
    for file in blanked:
        dataset = pydicom.dcmread(file)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, uid
        dataset.FrameOfReferenceUID = frame
        dataset.save_as(folder / f"{file.name}.dcm")
    files = sorted(folder.iterdir())
    return files[::2] + files[1::2]


@pytest.fixture(scope="module")
def labels(series: list[Path]) -> sitk.Image:
    image = read_series(series[0].parent)
    array = np.zeros(image.GetSize()[::-1], np.uint8)
    array[2:5, 100:140, 200:260] = 1
    array[4:9, 300:310, 50:70] = 7
    result = sitk.GetImageFromArray(array)
    result.CopyInformation(image)
    return result


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, labels: sitk.Image, series: list[Path]
) -> Path:
    path = tmp_path_factory.mktemp("seg") / "result.dcm"
    # Stored along other axes, as Slicer does: the places count.
    write_dicom_seg(to_orientation(labels, "RAS"), SEGMENTS, series, path, "Student", "1.2")
    return path


def test_the_voxels_come_back_at_their_places_by_another_reader(
    written: Path, labels: sitk.Image
) -> None:
    volume = highdicom.seg.segread(written).get_volume(combine_segments=True)

    image = sitk.GetImageFromArray(np.asarray(volume.array).astype(np.uint8))
    affine = volume.get_affine("LPS")[:3]
    spacing = np.linalg.norm(affine[:, :3], axis=0)
    # Its axes run (slice, row, column); the image's (x, y, z) are those backwards.
    image.SetSpacing(spacing[::-1].tolist())
    image.SetOrigin(affine[:, 3].tolist())
    image.SetDirection((affine[:, :3] / spacing)[:, ::-1].ravel().tolist())
    found = sitk.Resample(image, labels, sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(found),
        np.array([0, 1, 0, 0, 0, 0, 0, 2])[sitk.GetArrayViewFromImage(labels)],
    )


def test_each_frame_lies_in_the_plane_of_the_source_it_names(
    written: Path, series: list[Path]
) -> None:
    sources = {}
    for file in series:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        sources[dataset.SOPInstanceUID] = dataset
    seg = pydicom.dcmread(written)

    assert seg.FrameOfReferenceUID == next(iter(sources.values())).FrameOfReferenceUID
    assert seg.StudyInstanceUID == next(iter(sources.values())).StudyInstanceUID
    assert len(seg.PerFrameFunctionalGroupsSequence) == 3 + 5
    for frame in seg.PerFrameFunctionalGroupsSequence:
        named = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert place == pytest.approx(sources[named].ImagePositionPatient, abs=1e-6)


def test_segments_carry_names_codes_sides_and_colours(written: Path) -> None:
    first, second = pydicom.dcmread(written).SegmentSequence

    kind = first.SegmentedPropertyTypeCodeSequence[0]
    assert (first.SegmentLabel, second.SegmentLabel) == ("Left kidney", "Something")
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("64033007", "SCT")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert second.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"
    lab = highdicom.color.CIELabColor.from_rgb(200, 60, 40)
    assert first.RecommendedDisplayCIELabValue == list(lab.value)


def test_the_program_is_named_as_what_segmented(written: Path) -> None:
    first = pydicom.dcmread(written).SegmentSequence[0]

    assert first.SegmentAlgorithmType == "AUTOMATIC"
    assert first.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "Student"


def test_a_series_whose_uids_were_blanked_is_refused_with_the_remedy(
    labels: sitk.Image, blanked: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=r"no StudyInstanceUID.*replaced, not removed"):
        write_dicom_seg(labels, SEGMENTS, blanked, tmp_path / "x.dcm", "Student")


def test_a_label_map_on_another_grid_is_refused(
    labels: sitk.Image, series: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match="not on the grid"):
        write_dicom_seg(labels[:, :, 1:], SEGMENTS, series, tmp_path / "x.dcm", "Student")

    assert not (tmp_path / "x.dcm").exists()


def test_a_series_that_lacks_a_slice_is_refused(
    labels: sitk.Image, series: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match="even slices"):
        write_dicom_seg(labels, SEGMENTS, series[:3] + series[4:], tmp_path / "x.dcm", "Student")


def test_an_empty_label_map_is_refused(
    labels: sitk.Image, series: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match="empty"):
        write_dicom_seg(labels * 0, SEGMENTS, series, tmp_path / "x.dcm", "Student")


def test_without_highdicom_the_line_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)

    with pytest.raises(DependencyError, match=r"highdicom.*pip"):
        write_dicom_seg(sitk.Image(2, 2, 2, sitk.sitkUInt8), SEGMENTS, [], tmp_path / "x.dcm", "S")


def test_a_written_object_is_no_source(written: Path, labels: sitk.Image, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no image"):
        write_dicom_seg(labels, SEGMENTS, [written], tmp_path / "x.dcm", "Student")
