"""Volumes through files: bit by bit the same, and one sentence where a file is not right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from KDSegmentationLogic.errors import ImageError, KDSegError
from KDSegmentationLogic.imaging.geometry import MODALITY_KEY
from KDSegmentationLogic.worker.folder import SharedFolder
from KDSegmentationLogic.worker.volumes import (
    holds,
    read_volume,
    remove_file,
    write_result,
    write_volume,
)
from Testing.making import phantom

VOXELS = st.sampled_from(["u1", "i1", "u2", "i2", "i4", "f4", "f8"]).flatmap(
    lambda dtype: arrays.arrays(
        dtype,
        st.one_of(
            arrays.array_shapes(min_dims=2, max_dims=3, max_side=5),
            arrays.array_shapes(min_dims=3, max_dims=3, max_side=5),
        ),
        elements=st.integers(0, 3),
    )
)
NUMBER = st.floats(0.01, 1000)


def same(first: sitk.Image, second: sitk.Image) -> bool:
    return (
        first.GetPixelID() == second.GetPixelID()
        and first.GetSpacing() == second.GetSpacing()
        and first.GetOrigin() == second.GetOrigin()
        and first.GetDirection() == second.GetDirection()
        and np.array_equal(sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second))
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(VOXELS, NUMBER, NUMBER, st.booleans())
def test_a_volume_comes_back_bit_by_bit(
    tmp_path: Path, array: np.ndarray, spacing: float, origin: float, vector: bool
) -> None:
    image = sitk.GetImageFromArray(array, isVector=vector and array.ndim == 3)
    n = image.GetDimension()
    image.SetSpacing([spacing, 1 / 3, 0.7][:n])
    image.SetOrigin([-origin, 0.1, 1e-12][:n])
    image.SetDirection([0.6, -0.8, 0, 0.8, 0.6, 0, 0, 0, -1] if n == 3 else [0.6, -0.8, 0.8, 0.6])
    for write in (write_volume, write_result):
        (tmp_path / "a.raw").unlink(missing_ok=True)
        volume = write(image, tmp_path, "a.raw")
        assert (tmp_path / "a.raw").stat().st_size == volume.nbytes
        assert same(read_volume(volume, tmp_path), image)


def test_of_a_result_only_the_block_that_is_not_zero_is_written(tmp_path: Path) -> None:
    image = sitk.Image([60, 50, 40], sitk.sitkUInt8)
    image[10:13, 20:24, 30:35] = 2
    assert write_result(image, tmp_path, "a.raw").nbytes == 3 * 4 * 5


def test_the_modality_goes_along(tmp_path: Path) -> None:
    image, _ = phantom()
    image.SetMetaData(MODALITY_KEY, "MR")
    volume = write_volume(image, tmp_path, "a.raw")
    assert read_volume(volume, tmp_path).GetMetaData(MODALITY_KEY) == "MR"


@pytest.mark.parametrize("keep", [0, 1, -1])
def test_a_file_of_the_wrong_length_is_told(tmp_path: Path, keep: int) -> None:
    volume = write_volume(phantom()[0], tmp_path, "a.raw")
    content = (tmp_path / "a.raw").read_bytes()
    (tmp_path / "a.raw").write_bytes(content[:keep] if keep <= 0 else content + b"x")
    with pytest.raises(KDSegError, match=r"a\.raw.* holds \d+ bytes instead of 15360\."):
        read_volume(volume, tmp_path)


def test_a_file_that_vanished_is_told(tmp_path: Path) -> None:
    volume = write_volume(phantom()[0], tmp_path, "a.raw")
    remove_file(volume, tmp_path)
    with pytest.raises(KDSegError, match=r"a\.raw.* cannot be read"):
        read_volume(volume, tmp_path)


def test_pixels_that_are_no_real_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="real numbers"):
        write_volume(sitk.Image([4, 4, 4], sitk.sitkComplexFloat32), tmp_path, "a.raw")


def test_one_changed_voxel_is_another_volume(tmp_path: Path) -> None:
    image, _ = phantom((110, 110, 110))
    volume = write_volume(image, tmp_path, "a.raw")
    assert holds(volume, tmp_path, image)
    image[109, 109, 109] = 77
    assert not holds(volume, tmp_path, image)
    image.SetOrigin((0.0, 0.0, 1e-9))
    assert not holds(volume, tmp_path, image)


def test_the_same_volume_is_handed_over_once_and_another_replaces_it(temporary: Path) -> None:
    folder = SharedFolder()
    first, second = phantom()[0], phantom((20, 20, 20))[0]
    (given,) = folder.hand_over([first])
    assert folder.hand_over([sitk.Image(first)]) == (given,)
    (other,) = folder.hand_over([second])
    assert [path.name for path in folder.path.iterdir()] == [other.file] != [given.file]
    folder.remove()
    assert not list(temporary.iterdir())


@pytest.mark.usefixtures("temporary")
def test_channels_keep_their_order_when_one_is_new() -> None:
    folder = SharedFolder()
    a, b, c = (sitk.Image([3, 3, 3], sitk.sitkUInt8) + n for n in range(3))
    folder.hand_over([a, b])
    volumes = folder.hand_over([c, a])
    found = [int(read_volume(volume, folder.path)[0, 0, 0]) for volume in volumes]
    assert found == [2, 0]
    folder.remove()


@pytest.mark.usefixtures("temporary")
def test_a_folder_that_was_cleaned_away_is_made_again() -> None:
    folder = SharedFolder()
    image, _ = phantom()
    folder.hand_over([image])
    place = folder.path
    (place / "volume-1.raw").unlink()
    place.rmdir()
    (volume,) = folder.hand_over([image])
    assert same(read_volume(volume, place), image)
    folder.remove()
