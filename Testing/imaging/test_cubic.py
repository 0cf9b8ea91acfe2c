"""Cubic B-splines by matrix products, against scipy's and ITK's."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from KDSegmentationLogic.imaging.cubic import cubic_matrix, resample_cubic
from KDSegmentationLogic.imaging.resampling import resample_spacing


def image_of(shape: tuple[int, ...], spacing: tuple[float, ...]) -> sitk.Image:
    array = np.random.default_rng(0).normal(0, 100, shape).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin([3.0, -7.0, 11.0][: len(spacing)])
    return image


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 40), seed=st.integers(0, 99))
def test_a_row_gives_what_scipy_gives_for_a_mirrored_image(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, count)
    positions = random.uniform(0, count - 1, 15)
    wanted = ndimage.map_coordinates(values, positions[None], order=3, mode="mirror")
    np.testing.assert_allclose(cubic_matrix(positions, count) @ values, wanted, atol=1e-9)


def test_voxels_are_met_and_beyond_the_edge_the_outermost_goes_on() -> None:
    values = np.random.default_rng(1).normal(0, 1, 9)
    positions = np.array([-3.0, 0.0, 4.0, 8.0, 8.5])
    np.testing.assert_allclose(
        cubic_matrix(positions, 9) @ values, values[[0, 0, 4, 8, 8]], atol=1e-12
    )


def test_the_image_is_that_of_itks_b_spline() -> None:
    image = image_of((14, 18, 22), (0.8, 1.0, 2.0))
    found = resample_spacing(image, (1.1, 1.4, 1.3), "cubic")
    resample = sitk.ResampleImageFilter()
    resample.SetReferenceImage(found)
    resample.SetInterpolator(sitk.sitkBSpline3)
    resample.SetOutputPixelType(sitk.sitkFloat64)
    wanted = sitk.GetArrayFromImage(resample.Execute(image))
    # between the outermost centres; in the half voxel beyond them ITK extrapolates
    inside = np.ones(wanted.shape, bool)
    for axis, size in enumerate(found.GetSize()):
        ends = image.GetSize()[axis] - 1
        for at in range(size):
            index = [0, 0, 0]
            index[axis] = at
            position = image.TransformPhysicalPointToContinuousIndex(
                found.TransformIndexToPhysicalPoint(index)
            )[axis]
            if not 0 <= position <= ends:
                inside.swapaxes(0, 2 - axis)[at] = False
    assert inside.mean() > 0.7
    np.testing.assert_allclose(sitk.GetArrayFromImage(found)[inside], wanted[inside], atol=2e-2)


def test_cubic_has_the_grid_of_linear() -> None:
    image = image_of((10, 12, 9), (1.0, 2.0, 3.0))
    cubic, linear = (resample_spacing(image, (1.0, 1.3, 2.2), how) for how in ("cubic", "linear"))
    assert cubic.GetSize() == linear.GetSize()
    np.testing.assert_allclose(cubic.GetOrigin(), linear.GetOrigin())
    assert cubic.GetSpacing() == linear.GetSpacing()
    assert cubic.GetPixelID() == sitk.sitkFloat32


@pytest.mark.parametrize("shape", [(6, 7), (1, 6, 7)])
def test_pictures_and_single_slices_are_resampled_in_their_plane(shape: tuple[int, ...]) -> None:
    spacing = (1.0, 1.0, 5.0)[: len(shape)]
    image = image_of(shape, spacing)
    found = resample_spacing(image, (0.5, 0.5, 5.0)[: len(shape)], "cubic")
    assert sitk.GetArrayFromImage(found).shape == (*shape[:-2], 12, 14)
    assert np.isfinite(sitk.GetArrayFromImage(found)).all()


def test_axes_without_a_matrix_stay_as_they_are() -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(resample_cubic(array, (None, None, None)), array)
