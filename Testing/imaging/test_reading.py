"""Images, channels and label maps that are read, and what becomes of them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.imaging.geometry import has_physical_spacing, same_grid
from KDSegmentationLogic.imaging.reading import read_channels, read_image, read_labels
from KDSegmentationLogic.progress import Monitor


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def picture(path: Path, values: np.ndarray, vector: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=vector), str(path))
    return path


def set_bytes(path: Path, *changes: tuple[int, str, object]) -> None:
    raw = bytearray(path.read_bytes())
    for offset, code, value in changes:
        struct.pack_into("<" + code, raw, offset, value)
    path.write_bytes(raw)


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("folder", ["plain", "Schädel mit Leerraum/影像"])
def test_a_volume_keeps_voxels_type_and_geometry(
    tmp_path: Path, volume: sitk.Image, ending: str, folder: str
) -> None:
    path = tmp_path / folder / f"bild.{ending}"
    path.parent.mkdir(parents=True)
    sitk.WriteImage(volume, str(path))
    image = read_image(path)
    assert image.GetPixelID() == sitk.sitkInt16
    np.testing.assert_array_equal(array(image), array(volume))
    assert same_grid(image, volume, tolerance=1e-5)
    assert has_physical_spacing(image)


def test_a_left_handed_volume_keeps_its_array_order(tmp_path: Path, volume: sitk.Image) -> None:
    direction = np.reshape(volume.GetDirection(), (3, 3)) * [1, 1, -1]
    volume.SetDirection(direction.ravel().tolist())
    path = tmp_path / "left.nii.gz"
    sitk.WriteImage(volume, str(path))
    image = read_image(path)
    np.testing.assert_array_equal(array(image), array(volume))
    assert same_grid(image, volume, tolerance=1e-5)


def test_metadata_that_may_name_a_patient_are_dropped(tmp_path: Path, volume: sitk.Image) -> None:
    volume.SetMetaData("patient", "Erika Mustermann")
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(volume, str(path))
    assert read_image(path).GetMetaDataKeys() == ()


@pytest.mark.parametrize("ending", ["nii.gz", "mha", "nrrd"])
def test_a_single_time_point_is_read_as_3d(tmp_path: Path, volume: sitk.Image, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(sitk.JoinSeries([volume]), str(path))
    image = read_image(path)
    assert image.GetDimension() == 3
    np.testing.assert_array_equal(array(image), array(volume))


@pytest.mark.parametrize(("units", "millimetres"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)])
@pytest.mark.parametrize("sform_code", [0, 1])
def test_nifti_units_become_millimetres(
    tmp_path: Path, volume: sitk.Image, units: int, millimetres: float, sform_code: int
) -> None:
    path = tmp_path / "a.nii"
    sitk.WriteImage(volume, str(path))
    set_bytes(path, (123, "B", units), (254, "h", sform_code))
    image = read_image(path)
    expected = np.array(volume.GetSpacing()) * millimetres
    np.testing.assert_allclose(image.GetSpacing(), expected, rtol=1e-6)
    expected = np.array(volume.GetOrigin()) * millimetres
    np.testing.assert_allclose(image.GetOrigin(), expected, rtol=1e-6)


def test_a_registration_in_the_sform_does_not_move_an_image_with_qform(
    tmp_path: Path, volume: sitk.Image
) -> None:
    path = tmp_path / "a.nii"
    sitk.WriteImage(volume, str(path))
    shear = [1.0, 0.4, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    changes = [(280 + 4 * i, "f", v) for i, v in enumerate(shear)]
    set_bytes(path, (252, "h", 1), (254, "h", 4), *changes)
    assert same_grid(read_image(path), volume, tolerance=1e-5)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif"])
def test_a_picture_has_pixels_for_a_unit_and_no_print_resolution(
    tmp_path: Path, ending: str
) -> None:
    image = sitk.GetImageFromArray(np.full((8, 9), 77, np.uint8))
    image.SetSpacing((0.1, 0.1))
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(image, str(path))
    read = read_image(path)
    assert (read.GetSize(), read.GetSpacing()) == ((9, 8), (1.0, 1.0))
    assert read.GetPixelID() == sitk.sitkUInt8
    assert not has_physical_spacing(read)
    assert array(read).min() == array(read).max() == 77


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_stored_as_colour_is_grey(tmp_path: Path, channels: int) -> None:
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    colour = np.stack([grey] * 3 + [np.full_like(grey, 255)] * (channels - 3), axis=-1)
    path = picture(tmp_path / "a.png", colour, vector=True)
    np.testing.assert_array_equal(array(read_image(path)), grey)


@pytest.mark.parametrize(
    ("highest", "expected"), [(1, sitk.sitkUInt8), (255, sitk.sitkUInt8), (2035, sitk.sitkUInt16)]
)
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, np.int32])
def test_whole_values_become_labels_of_the_smallest_type(
    tmp_path: Path, highest: int, expected: int, kind: type
) -> None:
    values = np.zeros((3, 4, 5), kind)
    values[1, 2, 3] = highest
    path = tmp_path / "labels.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    labels = read_labels(path)
    assert labels.GetPixelID() == expected
    np.testing.assert_array_equal(array(labels), values)


def test_a_segmentation_file_keeps_its_segment_names(tmp_path: Path, volume: sitk.Image) -> None:
    labels = sitk.Cast(volume > 0, sitk.sitkUInt8)
    labels.CopyInformation(volume)
    labels.SetMetaData("Segment0_Name", "Leber")
    path = tmp_path / "a.seg.nrrd"
    sitk.WriteImage(labels, str(path))
    assert read_labels(path).GetMetaData("Segment0_Name") == "Leber"


@pytest.mark.parametrize("values", [[-1, 0, 1], [0.0, 0.5, 1.0], [0, 1, 70000]])
def test_values_that_are_no_labels_are_refused(tmp_path: Path, values: list[float]) -> None:
    path = tmp_path / "image.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.array(values).reshape(1, 1, 3)), str(path))
    with pytest.raises(ImageError, match=r"image\.nii\.gz is no label map: its values run from"):
        read_labels(path)


def test_a_segmentation_of_overlapping_layers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    layers = sitk.GetImageFromArray(np.zeros((3, 4, 5, 2), np.uint8), isVector=True)
    sitk.WriteImage(layers, str(path))
    with pytest.raises(ImageError, match="segments overlap"):
        read_labels(path)


def written(image: sitk.Image, path: Path) -> Path:
    sitk.WriteImage(image, str(path))
    return path


def test_channels_on_one_grid_are_left_as_they_are(tmp_path: Path, volume: sitk.Image) -> None:
    paths = [written(volume, tmp_path / f"{name}.nii.gz") for name in ("t1", "t2")]
    notices: list[str] = []
    first, second = read_channels(paths, Monitor(notice=notices.append))
    assert not notices
    assert second.GetPixelID() == sitk.sitkInt16
    np.testing.assert_array_equal(array(first), array(second))


def test_channels_stacked_in_one_file_are_read_apart(tmp_path: Path, volume: sitk.Image) -> None:
    path = tmp_path / "all.nii.gz"
    second = sitk.Cast(volume * 2 + 1, volume.GetPixelID())
    sitk.WriteImage(sitk.JoinSeries([volume, second]), str(path))

    images = read_channels([path])

    assert [array(image).tolist() for image in images] == [
        array(image).tolist() for image in (volume, second)
    ]
    assert all(same_grid(image, volume) for image in images)


def test_a_time_series_is_not_taken_for_channels(tmp_path: Path, volume: sitk.Image) -> None:
    path = tmp_path / "bold.nii.gz"
    sitk.WriteImage(sitk.JoinSeries([volume] * 9), str(path))

    with pytest.raises(ImageError, match="has 4 dimensions"):
        read_channels([path])


def test_a_channel_on_another_grid_is_resampled_with_a_notice(tmp_path: Path) -> None:
    """Values that rise with the position (mm) are the same at the same place on any grid."""
    z, y, x = np.mgrid[:12, :12, :12].astype(np.float32)
    fine = sitk.GetImageFromArray(x + 2 * y + 3 * z)
    coarse = sitk.GetImageFromArray((2 * x + 4 * y + 6 * z)[:6, :6, :6])
    coarse.SetSpacing((2.0, 2.0, 2.0))
    paths = [written(fine, tmp_path / "t1.nii.gz"), written(coarse, tmp_path / "t2.nii.gz")]
    notices: list[str] = []
    first, second = read_channels(paths, Monitor(notice=notices.append))
    assert same_grid(first, second)
    np.testing.assert_allclose(array(second)[:11, :11, :11], array(first)[:11, :11, :11], atol=1e-4)
    assert len(notices) == 1
    assert "t2.nii.gz was resampled onto the grid of t1.nii.gz" in notices[0]
    assert "6 x 6 x 6 instead of 12 x 12 x 12" in notices[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("SetSpacing", "its voxel spacing differs"),
        ("SetDirection", "its orientation differs"),
        ("SetOrigin", "its origin differs"),
    ],
)
def test_the_notice_says_what_differs(
    tmp_path: Path, volume: sitk.Image, change: str, reason: str
) -> None:
    other = sitk.Image(volume)
    values = {
        "SetSpacing": (0.6, 0.75, 2.0),
        "SetDirection": np.eye(3).ravel().tolist(),
        "SetOrigin": (-10.5, 20.0, 30.0),
    }
    getattr(other, change)(values[change])
    notices: list[str] = []
    paths = [written(volume, tmp_path / "a.nrrd"), written(other, tmp_path / "b.nrrd")]
    read_channels(paths, Monitor(notice=notices.append))
    assert reason in notices[0]


def test_channels_that_share_no_place_are_refused(tmp_path: Path, volume: sitk.Image) -> None:
    far = sitk.Image(volume)
    far.SetOrigin((500.0, 0.0, 0.0))
    paths = [written(volume, tmp_path / "a.nii.gz"), written(far, tmp_path / "b.nii.gz")]
    with pytest.raises(ImageError, match=r"b\.nii\.gz and .*a\.nii\.gz do not overlap in space"):
        read_channels(paths)


def test_pictures_of_different_size_are_not_laid_over_each_other(tmp_path: Path) -> None:
    a = picture(tmp_path / "a.png", np.zeros((4, 5), np.uint8))
    b = picture(tmp_path / "b.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(ImageError, match="differ in size"):
        read_channels([a, b])


def test_warnings_are_shown_again_after_reading(tmp_path: Path, volume: sitk.Image) -> None:
    sitk.ProcessObject.SetGlobalWarningDisplay(True)
    read_image(written(volume, tmp_path / "a.nii.gz"))
    assert sitk.ProcessObject.GetGlobalWarningDisplay()


@pytest.mark.parametrize(
    "name",
    [
        "OpenMS/patient07_FLAIR.nii.gz",
        "TotalSegmentatorCT/example_ct_sm.nii.gz",
        "Task04_Hippocampus/imagesTr/*.nii.gz",
        "Dataset101_NerveUS/imagesTr/*.png",
        "Dataset102_SunnybrookLV/imagesTr/*.png",
    ],
)
def test_real_images_are_read(data_folder: Path, name: str) -> None:
    image = read_image(next(iter(sorted(data_folder.glob(name)))))
    assert image.GetNumberOfPixels() > 1000
    assert has_physical_spacing(image) == name.endswith("nii.gz")
