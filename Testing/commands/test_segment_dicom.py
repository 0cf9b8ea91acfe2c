"""``kdseg segment`` of a DICOM folder into DICOM SEG: what comes out, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.making import LABELS, phantom

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
highdicom = pytest.importorskip("highdicom", reason="needs the extra dicom")

IMAGE, TRUTH = (sitk.GetArrayFromImage(image) for image in phantom())


@pytest.fixture
def write_series(dicom_file: Callable[..., Path]) -> Callable[..., Path]:
    """Writes the phantom as a series, its files in no order; gives the folder."""

    def write(name: str, **attributes: Any) -> Path:
        uids = {"StudyInstanceUID": "1.2.1", "FrameOfReferenceUID": "1.2.4"}
        for z, plane in enumerate(IMAGE):
            file = dicom_file(
                f"{name}/{7 * z % 16:02}.dcm",
                z=float(z),
                shape=plane.shape,
                PixelData=plane.astype("<i2").tobytes(),
                **{"PixelSpacing": [1.0, 1.0], "SliceThickness": 1.0, **uids, **attributes},
            )
        return file.parent

    return write


@pytest.fixture
def segment(kdseg, student_bundle) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        return kdseg("segment", "-m", student_bundle.folder, *arguments)

    return run


def instances(folder: Path) -> set[str]:
    return {
        str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)
        for file in folder.iterdir()
    }


def referred(path: Path) -> set[str]:
    (series,) = pydicom.dcmread(path).ReferencedSeriesSequence
    return {str(one.ReferencedSOPInstanceUID) for one in series.ReferencedInstanceSequence}


def test_a_dicom_folder_becomes_dicom_seg_at_its_place(segment, write_series, tmp_path) -> None:
    output = tmp_path / "out.dcm"
    said = segment(write_series("series"), "-o", output)
    assert said.status == 0, said.err

    volume = highdicom.seg.segread(output).get_volume(combine_segments=True)
    found = np.zeros_like(TRUTH)
    for index in np.argwhere(volume.array):
        x, y, z = volume.get_affine("LPS")[:3] @ [*index, 1]
        found[round(z), round(y - 8), round(x + 7)] = volume.array[tuple(index)]
    assert np.array_equal(found, TRUTH)


def test_dicom_seg_names_structures_model_and_sources(
    segment, write_series, student_bundle, tmp_path
) -> None:
    output, series = tmp_path / "out.dcm", write_series("series")
    segment(series, "-o", output)

    first, second = pydicom.dcmread(output).SegmentSequence
    assert [first.SegmentLabel, second.SegmentLabel] == [label.name for label in LABELS]
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Hippocampus"
    assert second.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"
    (how,) = first.SegmentationAlgorithmIdentificationSequence
    assert how.AlgorithmName == student_bundle.name
    assert referred(output) <= instances(series)


def test_of_two_series_the_chosen_one_is_referred_to(segment, write_series, tmp_path) -> None:
    write_series("study/one")
    chosen = write_series("study/two", SeriesInstanceUID="1.2.9")
    output = tmp_path / "out.dcm"
    said = segment(tmp_path / "study", "--series", "1.2.9", "-o", output)
    assert said.status == 0, said.err
    assert referred(output) <= instances(chosen)


def test_maps_stand_beside_dicom_seg(segment, write_series, tmp_path, names_in) -> None:
    output = tmp_path / "out" / "a.dcm"
    said = segment(write_series("series"), "-o", output, "--uncertainty")
    assert said.status == 0, said.err
    assert names_in(output.parent) == ["a.dcm", "a_uncertainty.nii.gz"]


def test_without_highdicom_the_extra_is_named_before_any_work(
    segment, write_series, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    output = tmp_path / "out.dcm"
    said = segment(write_series("series"), "-o", output, "--json")
    assert said.status == 1
    assert "highdicom (extra dicom)" in said.err
    assert not output.exists()


def test_a_series_that_nothing_can_refer_to_is_refused(segment, write_series, tmp_path) -> None:
    output = tmp_path / "out.dcm"
    said = segment(write_series("series", StudyInstanceUID=None), "-o", output)
    assert said.status == 1
    assert "UIDs are replaced, not removed" in said.err
    assert not output.exists()


def test_a_file_of_the_series_is_not_replaced(segment, write_series) -> None:
    series = write_series("series")
    source = series / "00.dcm"
    before = source.read_bytes()
    said = segment(series, "-o", source, "--overwrite")
    assert said.status == 2
    assert "is an input too" in said.err
    assert source.read_bytes() == before
