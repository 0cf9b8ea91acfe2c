"""Images on other grids."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.imaging.geometry import UNIT_KEY, has_physical_spacing, same_grid
from KDSegmentationLogic.imaging.resampling import resample_like, resample_spacing


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def centre(image: sitk.Image) -> np.ndarray:
    middle = [(n - 1) / 2 for n in image.GetSize()]
    return np.array(image.TransformContinuousIndexToPhysicalPoint(middle))


@given(
    spacing=st.tuples(*[st.floats(0.2, 6.0)] * 3),
    angles=st.tuples(*[st.floats(-3.0, 3.0)] * 3),
    hand=st.sampled_from((-1.0, 1.0)),
    interpolation=st.sampled_from(("linear", "nearest")),
)
@settings(max_examples=40, deadline=None)
def test_a_new_spacing_keeps_centre_axes_and_values(
    spacing: tuple[float, ...], angles: tuple[float, ...], hand: float, interpolation: str
) -> None:
    image = sitk.GetImageFromArray(np.full((4, 6, 9), 7, np.int16))
    image.SetSpacing((1.1, 0.9, 2.5))
    image.SetOrigin((-100.0, 50.0, 7.0))
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*angles)
    direction = np.reshape(turn.GetMatrix(), (3, 3)) * [1, 1, hand]
    image.SetDirection(direction.ravel().tolist())

    result = resample_spacing(image, spacing, interpolation)
    np.testing.assert_allclose(centre(result), centre(image), atol=1e-6)
    assert result.GetSpacing() == spacing
    assert result.GetDirection() == image.GetDirection()
    sizes = np.array(image.GetSize()) * image.GetSpacing() / np.array(spacing)
    assert result.GetSize() == tuple(np.maximum(1, np.rint(sizes)).astype(int))
    # A border of zeros would show here: the image is the same everywhere.
    np.testing.assert_allclose(array(result), 7, rtol=1e-5)


def test_the_same_spacing_gives_the_same_image(volume: sitk.Image) -> None:
    nearly = [step * (1 + 5e-7) for step in volume.GetSpacing()]
    assert resample_spacing(volume, nearly) is volume
    assert resample_spacing(volume, (None, None, None)) is volume


def test_an_axis_can_keep_its_own_spacing(volume: sitk.Image) -> None:
    result = resample_spacing(volume, (1.0, 1.0, None))
    assert result.GetSpacing() == (1.0, 1.0, 2.0)
    assert result.GetSize() == (3, 4, 4)


def test_linear_values_rise_evenly_and_keep_decimals() -> None:
    ramp = np.broadcast_to(np.arange(8, dtype=np.int16), (3, 3, 8))
    result = resample_spacing(sitk.GetImageFromArray(ramp), (0.5, 1.0, 1.0))
    assert result.GetPixelID() == sitk.sitkFloat32
    expected = np.clip(np.arange(16) * 0.5 - 0.25, 0, 7)
    np.testing.assert_allclose(array(result)[1, 1], expected, atol=1e-6)


def test_nearest_invents_no_labels(volume: sitk.Image) -> None:
    labels = sitk.Cast(volume > 10, sitk.sitkUInt8) * 5
    result = resample_spacing(labels, (0.31, 0.4, 0.9), "nearest")
    assert result.GetPixelID() == sitk.sitkUInt8
    assert set(np.unique(array(result))) == {0, 5}


def test_a_flat_image_is_resampled_alike() -> None:
    image = sitk.GetImageFromArray(np.ones((6, 8), np.uint8))
    image.SetMetaData(UNIT_KEY, "pixel")
    result = resample_spacing(image, (2.0, 2.0))
    assert result.GetSize() == (4, 3)
    assert not has_physical_spacing(result)


@pytest.mark.parametrize("spacing", [(1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, float("nan"), 1.0)])
def test_a_spacing_must_be_positive(volume: sitk.Image, spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="not positive"):
        resample_spacing(volume, spacing)


def test_a_spacing_is_given_for_every_axis(volume: sitk.Image) -> None:
    with pytest.raises(ValueError, match="2 spacings for an image of 3 axes"):
        resample_spacing(volume, (1.0, 1.0))


def test_resampling_like_a_reference_gives_its_grid_and_fills_the_outside(
    volume: sitk.Image,
) -> None:
    reference = sitk.Image(40, 40, 40, sitk.sitkUInt8)
    reference.SetOrigin((-25.0, 5.0, 15.0))
    result = resample_like(volume, reference, outside=-1000.0)
    assert same_grid(result, reference)
    assert result.GetPixelID() == sitk.sitkFloat32
    assert array(result)[0, 0, 0] == -1000.0
    inside = array(result)[array(result) > -999]
    assert inside.min() >= array(volume).min()
    assert inside.max() <= array(volume).max()


def test_resampling_like_the_own_grid_changes_nothing(volume: sitk.Image) -> None:
    result = resample_like(volume, volume, "nearest")
    np.testing.assert_array_equal(array(result), array(volume))
