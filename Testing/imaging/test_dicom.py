"""DICOM folders: which series they hold, and which of them are volumes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.imaging.dicom import list_series, read_series, series_files
from KDSegmentationLogic.imaging.geometry import (
    MODALITY_KEY,
    has_physical_spacing,
    same_grid,
    to_orientation,
)
from KDSegmentationLogic.imaging.reading import read_image

Write = Callable[..., Path]
MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
REPORT = "1.2.840.10008.5.1.4.1.1.88.33"


def stack(write: Write, folder: str, positions: list[float], **attributes: object) -> Path:
    for number, z in enumerate(positions):
        path = write(f"{folder}/{number}", z=z, **attributes)
    return path.parent


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def test_slices_are_sorted_by_position_not_by_name(dicom_file: Write) -> None:
    folder = stack(dicom_file, "Köpfe mit Abstand", [6.0, 2.0, 4.0, 0.0])
    image = read_image(folder)
    np.testing.assert_array_equal(array(image)[:, 0, 0], [0, 200, 400, 600])
    assert image.GetSize() == (6, 5, 4)
    assert image.GetSpacing() == (0.6, 0.5, 2.0)
    assert image.GetOrigin() == (-7.0, 8.0, 0.0)
    assert image.GetPixelID() == sitk.sitkInt16


def test_an_oblique_series_lies_where_its_header_says(dicom_file: Write) -> None:
    row, column = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
    normal = np.cross(row, column)
    first = np.array([5.0, -6.0, 7.0])
    for k in range(4):
        path = dicom_file(
            f"oblique/{k}",
            ImageOrientationPatient=[*row, *column],
            ImagePositionPatient=(first + (3 - k) * 2.5 * normal).tolist(),
        )
    image = read_series(path.parent)
    np.testing.assert_allclose(image.GetOrigin(), first, atol=1e-6)
    far = first + 3 * 2.5 * normal + 5 * 0.6 * row + 4 * 0.5 * column
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((5, 4, 3)), far, atol=1e-6)


def test_slices_in_subfolders_among_other_files_are_one_series(
    dicom_file: Write, tmp_path: Path
) -> None:
    dicom_file("study/a/1.dcm", z=0.0)
    dicom_file("study/b/2.dcm", z=2.0)
    (tmp_path / "study" / "readme.txt").write_text("not an image" * 50)
    (tmp_path / "study" / "empty").touch()
    assert read_image(tmp_path / "study").GetSize() == (6, 5, 2)


def test_series_are_listed(dicom_file: Write, tmp_path: Path) -> None:
    stack(dicom_file, "study/ct", [0, 1, 2])
    stack(
        dicom_file,
        "study/mr",
        [0, 1],
        storage=MR,
        Modality="MR",
        SeriesInstanceUID="1.2.9",
        SeriesDescription="Schädel",
        SpecificCharacterSet="ISO_IR 100",
    )
    ct, mr = list_series(tmp_path / "study")
    assert (ct.uid, ct.description, ct.modality, ct.slices) == ("1.2.3", "Thorax", "CT", 3)
    assert (mr.uid, mr.description, mr.modality, mr.slices) == ("1.2.9", "Schädel", "MR", 2)
    assert mr.folder == tmp_path / "study" / "mr"


def test_of_several_series_one_must_be_chosen(dicom_file: Write, tmp_path: Path) -> None:
    stack(dicom_file, "study", [0, 1, 2])
    stack(dicom_file, "study/late", [0, 1], SeriesInstanceUID="1.2.9", SeriesDescription="Late")
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "study")
    assert "1.2.3 (CT 'Thorax', 3 slices); 1.2.9 (CT 'Late', 2 slices)" in caught.value.cause
    assert "Choose one with its UID (--series UID)" in caught.value.remedy
    assert read_image(tmp_path / "study", series="1.2.9").GetSize() == (6, 5, 2)
    with pytest.raises(ImageError, match=r"has no image series 7\.7.*It has: 1\.2\.3"):
        read_image(tmp_path / "study", series="7.7")


def test_the_files_of_a_chosen_series_are_told(dicom_file: Write, tmp_path: Path) -> None:
    wanted = {dicom_file(f"study/{n}", z=3.0 * n) for n in range(2)}
    dicom_file("study/other", SeriesInstanceUID="1.2.9")

    assert set(series_files(tmp_path / "study", "1.2.3")) == wanted
    with pytest.raises(ImageError, match="holds 2 series"):
        series_files(tmp_path / "study")


def test_objects_that_are_no_images_do_not_count_as_series(dicom_file: Write) -> None:
    folder = stack(dicom_file, "study", [0, 1, 2])
    for number, storage in enumerate((SEG, RTSTRUCT, REPORT)):
        dicom_file(f"study/other{number}", storage=storage, SeriesInstanceUID=f"9.{number}")
    assert read_image(folder).GetSize() == (6, 5, 3)


@pytest.mark.parametrize(
    ("storage", "name"),
    [(SEG, "a segmentation (SEG)"), (RTSTRUCT, "a structure set (RTSTRUCT)")],
)
@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_result_given_as_image_is_refused_by_its_kind(
    dicom_file: Write, storage: str, name: str, whole_folder: bool
) -> None:
    pixels = {} if storage == SEG else {"PixelData": None}
    path = dicom_file("result/1.dcm", storage=storage, **pixels)
    with pytest.raises(ImageError) as caught:
        read_image(path.parent if whole_folder else path)
    assert f"1.dcm is not an image but {name}" in caught.value.cause


def test_a_missing_slice_is_refused_with_its_position(dicom_file: Write) -> None:
    folder = stack(dicom_file, "ct", [-30, -27, -24, -18, -15])
    with pytest.raises(ImageError) as caught:
        read_image(folder)
    assert "1 missing slice between -24.00 mm and -18.00 mm" in caught.value.cause
    assert "6.00 mm instead of 3.00 mm" in caught.value.cause


def test_the_missing_slice_of_a_series_of_four_is_found(dicom_file: Write) -> None:
    folder = stack(dicom_file, "ct", [0, 3, 9])
    with pytest.raises(ImageError, match=r"1 missing slice between 3\.00 mm and 9\.00 mm"):
        read_image(folder)


@pytest.mark.parametrize(("shift", "accepted"), [(0.02, True), (0.04, False)])
def test_gaps_may_differ_by_one_per_cent(dicom_file: Write, shift: float, accepted: bool) -> None:
    folder = stack(dicom_file, "ct", [0, 3, 6, 9 + shift])
    if accepted:
        assert read_image(folder).GetSpacing()[2] == pytest.approx((9 + shift) / 3)
    else:
        with pytest.raises(ImageError, match=r"an uneven gap between 6\.00 mm and 9\.04 mm"):
            read_image(folder)


def test_two_slices_at_one_place_are_refused(dicom_file: Write) -> None:
    folder = stack(dicom_file, "ct", [0, 3, 3, 6])
    with pytest.raises(ImageError, match=r"several slices at 3\.00 mm"):
        read_image(folder)


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "another orientation"),
        ({"PixelSpacing": [0.5, 0.7]}, "another pixel spacing"),
        ({"shape": (5, 7)}, "size 7 x 5, the others 6 x 5"),
        ({"ImagePositionPatient": None}, "gives no position"),
    ],
    ids=["orientation", "spacing", "size", "position"],
)
def test_a_foreign_slice_is_refused_by_name(
    dicom_file: Write, attributes: dict[str, object], sentence: str
) -> None:
    stack(dicom_file, "ct", [0, 3, 6])
    path = dicom_file("ct/scout", z=9, **attributes)
    with pytest.raises(ImageError) as caught:
        read_image(path.parent)
    assert "scout" in caught.value.cause
    assert sentence in caught.value.cause


def test_a_tilted_gantry_is_refused(dicom_file: Write) -> None:
    for k in range(4):
        path = dicom_file(f"tilt/{k}", ImagePositionPatient=[0, 0.4 * k, 3.0 * k])
    with pytest.raises(ImageError, match=r"gantry tilt\): its slices drift 1\.20 mm sideways"):
        read_image(path.parent)


def test_slices_with_their_own_rescale_keep_their_values(dicom_file: Write) -> None:
    """The first slice of a PET series may have a whole slope, and the others not."""
    dicom_file("pet/0", z=0.0, RescaleSlope=1, RescaleIntercept=0)
    path = dicom_file("pet/1", z=1.0, RescaleSlope=0.25, RescaleIntercept=0)
    values = array(read_image(path.parent))
    np.testing.assert_allclose(values[0].ravel()[:3], [0, 1, 2])
    np.testing.assert_allclose(values[1].ravel()[:3], [25.0, 25.25, 25.5])


def test_a_single_file_is_a_volume_of_one_slice(dicom_file: Write) -> None:
    image = read_image(dicom_file("ct/IM0001", z=4.0))
    assert image.GetSize() == (6, 5, 1)
    assert image.GetSpacing() == (0.6, 0.5, 3.0)
    assert image.GetOrigin() == (-7.0, 8.0, 4.0)


def test_a_file_without_pixel_spacing_has_pixels_for_a_unit(dicom_file: Write) -> None:
    bare = dicom_file("a/1", PixelSpacing=None)
    assert not has_physical_spacing(read_image(bare))
    assert has_physical_spacing(read_image(dicom_file("b/1")))


def test_the_modality_stays_with_the_image(dicom_file: Write) -> None:
    folder = stack(dicom_file, "head", [0.0, 1.0], SOPClassUID=MR, Modality="MR")
    assert read_image(folder).GetMetaData(MODALITY_KEY) == "MR"


def test_a_file_of_several_frames_is_refused(dicom_file: Write) -> None:
    path = dicom_file("mr/1.dcm", shape=(3, 5, 6), storage=ENHANCED_MR)
    with pytest.raises(ImageError, match=r"1\.dcm has 3 frames, whose positions cannot be checked"):
        read_image(path)


def test_a_colour_file_is_refused(dicom_file: Write) -> None:
    path = dicom_file(
        "us/1.dcm",
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        PixelData=bytes(90),
    )
    with pytest.raises(ImageError, match=r"1\.dcm has 3 values per pixel"):
        read_image(path)


@pytest.mark.parametrize("keep", [140, 400, -10])
def test_a_damaged_file_is_refused_by_name(dicom_file: Write, keep: int) -> None:
    path = dicom_file("ct/broken", z=1.0)
    path.write_bytes(path.read_bytes()[:keep])
    dicom_file("ct/whole", z=0.0)
    for source in (path, path.parent):
        with pytest.raises(ImageError, match="broken is damaged, cut short, or holds no image"):
            read_image(source)


def test_a_real_jpeg_2000_series_has_the_values_of_another_decoder(data_folder: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    folder = data_folder / "TotalSegmentatorCT" / "example_ct_dicom"
    image = read_image(folder)
    files = [pydicom.dcmread(path) for path in folder.iterdir()]
    files.sort(key=lambda one: one.ImagePositionPatient[2])
    assert image.GetSize() == (512, 512, len(files))
    try:
        pixels = files[7].pixel_array
    except (RuntimeError, AttributeError) as error:
        pytest.skip(f"pydicom has no JPEG 2000 decoder here: {error}")
    np.testing.assert_array_equal(array(image)[7], pixels.astype(int) + files[7].RescaleIntercept)


def test_a_real_series_fits_its_segmentation(data_folder: Path) -> None:
    folder = data_folder / "TotalSegmentatorCT"
    labels = to_orientation(read_image(folder / "example_seg_dicom.nii.gz"), "LPS")
    assert same_grid(read_image(folder / "example_ct_dicom"), labels)


def test_a_real_series_without_a_slice_is_refused(data_folder: Path, tmp_path: Path) -> None:
    files = sorted((data_folder / "TotalSegmentatorCT" / "example_ct_dicom").iterdir())
    for path in files[:4] + files[5:8]:
        shutil.copy(path, tmp_path)
    with pytest.raises(ImageError, match="1 missing slice between"):
        read_image(tmp_path)
