"""Preprocessing: the same input whatever way an image is stored, and sane for odd images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.bundles.description import Channel, Grid, Normalisation
from KDSegmentationLogic.errors import ImageError, OutOfMemoryError
from KDSegmentationLogic.imaging.geometry import UNIT_KEY
from KDSegmentationLogic.inference.memory import memory_checked
from KDSegmentationLogic.inference.preprocess import (
    normalise,
    preprocess,
    preprocess_labels,
    statistics_of,
)

ZSCORE = (Channel("T1", "MR", Normalisation("zscore")),)
PLAIN = (Channel("T1", "MR", Normalisation("none")),)


def oblique(size: tuple[int, int, int] = (7, 6, 5)) -> sitk.Image:
    random = np.random.default_rng(0)
    image = sitk.GetImageFromArray(random.integers(0, 1000, size[::-1]).astype(np.int16))
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.2, -0.1, 0.3)
    image.SetDirection(turn.GetMatrix())
    image.SetSpacing((0.8, 1.1, 2.3))
    image.SetOrigin((-30.0, 12.0, 7.5))
    return image


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    spacing=st.sampled_from([None, (1.0, 1.0, 1.0), (0.8, 0.7, 2.3)]),
    code=st.sampled_from(["LPS", "RAS", "PIR"]),
)
def test_the_network_sees_the_same_however_the_axes_are_stored(
    order: list[int],
    flips: tuple[bool, bool, bool],
    spacing: tuple[float, float, float] | None,
    code: str,
) -> None:
    image = oblique()
    stored = sitk.Flip(sitk.PermuteAxes(image, order), flips)
    grid = Grid(3, spacing, code)
    first, second = (preprocess([i], PLAIN, grid) for i in (image, stored))
    # interpolated values of up to 1000: positions differ by rounding alone
    np.testing.assert_allclose(second.array, first.array, atol=1e-3 if spacing else 0)
    assert second.spacing == first.spacing
    assert second.oriented.size == first.oriented.size
    np.testing.assert_allclose(second.oriented.origin, first.oriented.origin, atol=1e-9)


def test_the_array_is_float32_with_axes_channel_z_y_x() -> None:
    prepared = preprocess([oblique()], ZSCORE, Grid(3, (1.0, 1.0, 1.0)))
    assert prepared.array.dtype == np.float32
    assert prepared.array.shape == (1, round(5 * 2.3), round(6 * 1.1), round(7 * 0.8))
    assert prepared.spacing == (1.0, 1.0, 1.0)
    assert prepared.oriented_shape == (5, 6, 7)


def test_a_spacing_that_differs_by_rounding_is_kept_as_the_image_has_it() -> None:
    """Else the way back would be interpolation between grids that are one."""
    image = oblique()
    image.SetSpacing((1.0 + 5e-7, 1.0, 1.0 - 5e-7))
    prepared = preprocess([image], PLAIN, Grid(3, (1.0, 1.0, 1.0)))
    assert prepared.spacing == image.GetSpacing()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_every_pixel_type_gives_the_same_input(kind: type) -> None:
    values = np.random.default_rng(1).integers(0, 200, (4, 5, 6))
    image = sitk.GetImageFromArray(values.astype(kind))
    image.SetSpacing((1.0, 1.0, 1.5))
    array = preprocess([image], ZSCORE, Grid(3, (1.0, 1.0, 1.0))).array
    wanted = preprocess(
        [sitk.Cast(image, sitk.sitkFloat32)], ZSCORE, Grid(3, (1.0, 1.0, 1.0))
    ).array
    np.testing.assert_allclose(array, wanted, atol=1e-5)


def test_zscore_gives_mean_zero_and_deviation_one() -> None:
    array = np.random.default_rng(2).normal(300, 50, (6, 7, 8)).astype(np.float32)
    wanted = (array - array.mean(dtype=np.float64)) / array.std(dtype=np.float64)
    np.testing.assert_allclose(normalise(array, Normalisation("zscore")), wanted, atol=1e-6)


def test_zscore_of_a_large_offset_keeps_its_digits() -> None:
    array = np.random.default_rng(2).normal(0, 1, (20, 30, 40)).astype(np.float32) + 30000
    result = normalise(array, Normalisation("zscore"))
    assert float(result.mean(dtype=np.float64)) == pytest.approx(0, abs=3e-3)
    assert float(result.std(dtype=np.float64)) == pytest.approx(1, abs=1e-3)


def test_zscore_of_nonzero_voxels_leaves_zero_at_zero() -> None:
    array = np.zeros((3, 4, 5), np.float32)
    array[1] = np.arange(1, 21).reshape(4, 5)
    result = normalise(array.copy(), Normalisation("zscore", nonzero=True))
    inside = array != 0
    assert (result[~inside] == 0).all()
    np.testing.assert_allclose(
        result[inside], (array[inside] - 10.5) / array[inside].std(), rtol=1e-5
    )


@pytest.mark.parametrize("nonzero", [False, True])
@pytest.mark.parametrize("value", [0.0, 0.1, -1000.0, 3e4])
def test_a_constant_image_becomes_zero(value: float, nonzero: bool) -> None:
    array = np.full((3, 4, 5), value, np.float32)
    assert (normalise(array, Normalisation("zscore", nonzero=nonzero)) == 0).all()


def test_fixed_normalisation_clips_first() -> None:
    array = np.array([[[-2000, 0, 50, 2000]]], np.float32)
    how = Normalisation("fixed", clip=(-1000.0, 1000.0), mean=50.0, std=10.0)
    np.testing.assert_allclose(normalise(array, how).ravel(), [-105, -5, 0, 95])


@settings(max_examples=20, deadline=None)
@given(shrink=st.floats(1.0, 4.0), code=st.sampled_from(["LPS", "PIR"]))
def test_a_shrunk_grid_is_that_of_the_images_own_spacing_times_as_much(
    shrink: float, code: str
) -> None:
    image = sitk.DICOMOrient(oblique((24, 20, 16)), code)
    spacing = tuple(shrink * step for step in image.GetSpacing())
    shrunk, spaced = (
        preprocess([image], PLAIN, grid)
        for grid in (Grid(3, None, code, shrink=shrink), Grid(3, spacing, code))
    )
    np.testing.assert_array_equal(shrunk.array, spaced.array)
    np.testing.assert_allclose(shrunk.spacing, spacing)


def test_a_picture_whose_pixels_have_no_length_is_shrunk_by_means_of_four_pixels() -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((6, 8)).astype(np.float32))
    image.SetMetaData(UNIT_KEY, "pixel")
    shrunk = preprocess([image], PLAIN, Grid(2, shrink=2.0))
    four = sitk.GetArrayFromImage(image).reshape(3, 2, 4, 2).mean((1, 3))
    np.testing.assert_allclose(shrunk.array[0, 0], four, rtol=1e-5)


@pytest.mark.parametrize("wrong", [{"shrink": 0.5}, {"shrink": 2.0, "spacing": (1.0, 1.0, 1.0)}])
def test_a_grid_that_grows_or_has_two_spacings_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="shrink"):
        Grid(3, **wrong)


def test_labels_and_image_land_on_the_same_voxels() -> None:
    image = oblique()
    bright = image > 500
    grid = Grid(3, (1.0, 1.0, 1.0))
    labels = preprocess_labels(bright, grid)
    assert labels.shape == preprocess([image], PLAIN, grid).array.shape[1:]
    assert set(np.unique(labels)) == {0, 1}


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "needs 1 image"),
        ([oblique(), oblique()], "needs 1 image"),
        ([sitk.Image(4, 4, sitk.sitkInt16)], "3-D"),
    ],
)
def test_images_that_the_model_does_not_take_are_refused(
    images: list[sitk.Image], words: str
) -> None:
    with pytest.raises(ImageError, match=words):
        preprocess(images, ZSCORE, Grid(3))


def test_channels_on_different_grids_are_refused() -> None:
    moved = oblique()
    moved.SetOrigin((0.0, 0.0, 0.0))
    two = (*ZSCORE, Channel("T2", "MR", Normalisation("zscore")))
    with pytest.raises(ImageError, match="different grids"):
        preprocess([oblique(), moved], two, Grid(3))


@pytest.mark.parametrize("nonzero", [False, True])
def test_statistics_of_an_image_are_those_its_preprocessing_takes(nonzero: bool) -> None:
    how = Normalisation("zscore", nonzero, clip=(100.0, 900.0))
    channels, grid = (Channel("T1", "MR", how), *PLAIN), Grid(3, (1.0, 1.0, 1.0), "RAS")
    images = [oblique(), oblique()]
    found = statistics_of(images, channels, grid)
    assert found[1] is None
    np.testing.assert_allclose(
        preprocess(images, channels, grid, found).array,
        preprocess(images, channels, grid).array,
        atol=1e-6,
    )


def test_a_part_is_normalised_as_in_the_whole() -> None:
    image, grid = oblique(), Grid(3)
    whole = preprocess([image], ZSCORE, grid).array
    part = preprocess([image[2:6, 1:4, :]], ZSCORE, grid, statistics_of([image], ZSCORE, grid))
    np.testing.assert_allclose(part.array, whole[:, :, 1:4, 2:6], atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_no_float32_are_refused(value: float) -> None:
    array = np.zeros((4, 5, 6))
    array[1, 2, 3] = value
    with pytest.raises(ImageError, match="T1 holds values that are no finite"):
        preprocess([sitk.GetImageFromArray(array)], ZSCORE, Grid(3))


def test_pixels_without_a_length_are_refused_where_the_model_needs_it() -> None:
    picture = sitk.Image(9, 8, sitk.sitkUInt8)
    picture.SetMetaData(UNIT_KEY, "pixel")
    assert preprocess([picture], PLAIN, Grid(2)).array.shape == (1, 1, 8, 9)
    with pytest.raises(ImageError, match="how large its pixels are") as caught:
        preprocess([picture], PLAIN, Grid(2, (0.5, 0.5, 1.0)))
    assert "takes pixels of any size" in caught.value.remedy


def test_a_spacing_that_asks_for_absurdly_many_voxels_is_refused_by_name() -> None:
    image = sitk.Image(90, 90, 90, sitk.sitkUInt8)
    image.SetSpacing((1000.0, 1000.0, 25.0))
    with pytest.raises(ImageError, match="1000 x 1000 x 25 mm"):
        preprocess([image], PLAIN, Grid(3, (1.0, 1.0, 1.0)))


def test_a_lack_of_memory_in_itk_or_numpy_is_told_as_such() -> None:
    with pytest.raises(OutOfMemoryError), memory_checked():
        sitk.Image([2**20] * 3, sitk.sitkFloat64)
    with pytest.raises(OutOfMemoryError), memory_checked():
        np.empty(2**45)
    with pytest.raises(RuntimeError, match="SimpleITK"), memory_checked():
        sitk.RegionOfInterest(sitk.Image(2, 2, sitk.sitkUInt8), [9, 9], [0, 0])
