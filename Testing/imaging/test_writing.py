"""Writing images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.imaging.geometry import same_grid
from KDSegmentationLogic.imaging.reading import read_image, read_labels
from KDSegmentationLogic.imaging.writing import write_image


@pytest.mark.parametrize("ending", ["nii.gz", "nii", "nrrd", "mha", "seg.nrrd", "NII.GZ"])
def test_a_written_volume_is_read_back(tmp_path: Path, volume: sitk.Image, ending: str) -> None:
    path = tmp_path / "neu angelegt" / "größe" / f"a.{ending}"
    write_image(volume, path)
    image = read_image(path)
    assert same_grid(image, volume, tolerance=1e-5)
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(image), sitk.GetArrayViewFromImage(volume)
    )
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_compression_can_be_left_out(tmp_path: Path) -> None:
    image = sitk.Image(40, 40, 40, sitk.sitkInt16)
    write_image(image, tmp_path / "small.nrrd")
    write_image(image, tmp_path / "large.nrrd", compress=False)
    assert (tmp_path / "small.nrrd").stat().st_size < 5_000
    assert (tmp_path / "large.nrrd").stat().st_size > 100_000


@pytest.mark.parametrize("highest", [3, 4000])
def test_a_flat_label_map_is_written_as_png(tmp_path: Path, highest: int) -> None:
    values = np.zeros((5, 6), np.uint8 if highest < 256 else np.uint16)
    values[2, 3] = highest
    write_image(sitk.GetImageFromArray(values), tmp_path / "a.png")
    labels = read_labels(tmp_path / "a.png")
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(labels), values)


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.txt", "a"])
def test_an_ending_that_is_not_written_is_refused(
    tmp_path: Path, volume: sitk.Image, name: str
) -> None:
    with pytest.raises(ImageError, match=r"has an ending that is not written.*\.nii\.gz"):
        write_image(volume, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_volume_does_not_fit_a_png(tmp_path: Path, volume: sitk.Image) -> None:
    with pytest.raises(ImageError, match="PNG is for 2-D images"):
        write_image(volume, tmp_path / "a.png")


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path, volume: sitk.Image) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"a\.nrrd cannot be written"):
        write_image(volume, tmp_path / "file" / "a.nrrd")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, volume: sitk.Image) -> None:
    path = tmp_path / "a.nii"
    write_image(volume, path)
    old = path.read_bytes()
    too_wide = sitk.Image(40_000, 1, sitk.sitkUInt8)
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(too_wide, path)
    assert path.read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 1
