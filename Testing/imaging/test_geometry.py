"""Orientation, grids and boxes, on random oblique grids of both hands."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.errors import RegionError
from KDSegmentationLogic.imaging.geometry import (
    UNIT_KEY,
    axes_of,
    back_to_grid,
    has_physical_spacing,
    index_box_of,
    orientation_of,
    physical_extent,
    same_grid,
    to_orientation,
    voxel_volume_ml,
)

CODES = [
    "".join(letters) for order in permutations(("LR", "PA", "SI")) for letters in product(*order)
]


@st.composite
def grids(draw: st.DrawFn) -> sitk.Image:
    """A small volume on an oblique, permuted, possibly left-handed grid, all voxels different."""
    size = draw(st.tuples(*[st.integers(1, 5)] * 3))
    values = np.arange(np.prod(size), dtype=np.int32).reshape(size[::-1])
    image = sitk.GetImageFromArray(values)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*draw(st.tuples(*[st.floats(-3.1, 3.1)] * 3)))
    signs = draw(st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))
    order = list(draw(st.permutations(range(3))))
    direction = np.reshape(turn.GetMatrix(), (3, 3))[:, order] * signs
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing(draw(st.tuples(*[st.floats(0.1, 5.0)] * 3)))
    image.SetOrigin(draw(st.tuples(*[st.floats(-300, 300)] * 3)))
    return image


def places(image: sitk.Image) -> dict[int, np.ndarray]:
    """Position (LPS mm) of every voxel by its value."""
    values = sitk.GetArrayViewFromImage(image)
    return {
        int(values[k, j, i]): np.array(image.TransformIndexToPhysicalPoint((i, j, k)))
        for k, j, i in np.ndindex(values.shape)
    }


@given(image=grids(), code=st.sampled_from(CODES))
@settings(max_examples=60, deadline=None)
def test_turning_moves_no_voxel_and_can_be_undone_exactly(image: sitk.Image, code: str) -> None:
    turned = to_orientation(image, code)
    assert orientation_of(turned) == code
    before, after = places(image), places(turned)
    assert all(np.abs(before[value] - after[value]).max() < 1e-6 for value in before)

    back = back_to_grid(turned, image)
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(back), sitk.GetArrayViewFromImage(image)
    )
    for read in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize"):
        assert getattr(back, read)() == getattr(image, read)()


@pytest.mark.parametrize("code", CODES)
def test_orientation_codes_mean_what_simpleitk_means(code: str) -> None:
    image = sitk.DICOMOrient(sitk.Image(3, 4, 5, sitk.sitkUInt8), code)
    assert orientation_of(image) == code


def test_a_code_is_three_different_axes() -> None:
    for code in ("LLS", "LP", "XYZ", ""):
        with pytest.raises(ValueError, match="is no orientation"):
            to_orientation(sitk.Image(3, 4, 5, sitk.sitkUInt8), code)


def test_a_flat_image_is_left_as_it_is() -> None:
    image = sitk.Image(4, 5, sitk.sitkUInt8)
    image.SetMetaData(UNIT_KEY, "pixel")
    assert to_orientation(image, "RAS") is image
    assert orientation_of(image) == ""
    assert not has_physical_spacing(back_to_grid(sitk.Image(image), image))


def test_another_grid_is_not_passed_off_as_the_reference(volume: sitk.Image) -> None:
    moved = sitk.Image(volume)
    moved.SetOrigin((0, 0, 0))
    with pytest.raises(ValueError, match="not lie on the grid"):
        back_to_grid(moved, volume)


@pytest.mark.parametrize(
    ("part_of_a_voxel", "expected"), [(0.0, True), (0.005, True), (0.02, False)]
)
def test_grids_are_compared_in_parts_of_a_voxel(
    volume: sitk.Image, part_of_a_voxel: float, expected: bool
) -> None:
    moved = sitk.Image(volume)
    shift = part_of_a_voxel * min(volume.GetSpacing())
    moved.SetOrigin([volume.GetOrigin()[0] + shift, *volume.GetOrigin()[1:]])
    assert same_grid(volume, moved) is expected


def test_a_spacing_that_adds_up_to_a_shift_makes_another_grid() -> None:
    a = sitk.Image(300, 3, 3, sitk.sitkUInt8)
    b = sitk.Image(a)
    b.SetSpacing((1.0001, 1, 1))
    assert not same_grid(a, b)
    assert not same_grid(a, sitk.Image(300, 3, sitk.sitkUInt8))


def test_the_extent_reaches_to_the_outer_edges_of_the_voxels() -> None:
    image = sitk.Image(4, 5, 6, sitk.sitkUInt8)
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    image.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))
    assert physical_extent(image) == ((6.5, 19.0, 28.5), (10.5, 29.0, 46.5))
    assert voxel_volume_ml(image) == pytest.approx(0.006)
    with pytest.raises(ValueError, match="no volume"):
        voxel_volume_ml(sitk.Image(4, 5, sitk.sitkUInt8))


@given(
    image=grids(),
    where=st.tuples(*[st.floats(0.0, 1.0)] * 3),
    extent=st.tuples(*[st.floats(0.0, 12.0)] * 3),
)
@settings(max_examples=80, deadline=None)
def test_the_block_has_the_size_of_the_box_and_the_point_in_its_middle(
    image: sitk.Image, where: tuple[float, ...], extent: tuple[float, ...]
) -> None:
    size = np.array(image.GetSize())
    centre = np.array(where) * size - 0.5
    point = axes_of(image) @ centre + image.GetOrigin()
    start, length = (np.array(part) for part in index_box_of(image, point, extent))
    assert (start >= 0).all()
    assert (length >= 1).all()
    assert (start + length <= size).all()

    wanted = np.maximum(1, np.rint(np.array(extent) / np.array(image.GetSpacing())))
    assert (length <= wanted).all()
    cut = (start == 0) | (start + length == size)
    assert (length == wanted)[~cut].all()
    assert (np.abs(start + (length - 1) / 2 - centre) <= 0.5 + 1e-4)[~cut].all()
    # towards an edge it is cut, not shifted: the far side stays where it was
    assert (start[cut] <= np.maximum(0, centre - wanted / 2 + 1 + 1e-4)[cut]).all()
    assert ((start + length)[cut] >= np.minimum(size, centre + wanted / 2 - 1e-4)[cut]).all()


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5, -1e-9, 1e-9])
def test_a_box_is_as_large_wherever_in_a_voxel_its_point_lies(shift: float) -> None:
    image = sitk.Image(80, 90, 80, sitk.sitkUInt8)
    _, size = index_box_of(image, (40 + shift, 45 + shift, 40 + shift), (40, 56, 40))
    assert size == (40, 56, 40)


def test_a_box_of_whole_voxels_is_not_widened_by_rounding() -> None:
    image = sitk.Image(20, 20, 20, sitk.sitkUInt8)
    image.SetSpacing((0.1, 0.3, 0.7))
    image.SetOrigin((0.05, 0.15, 0.35))
    point = (10 * 0.1, 10 * 0.3, 10 * 0.7)
    start, size = index_box_of(image, point, (4 * 0.1, 4 * 0.3, 4 * 0.7))
    assert (start, size) == ((8, 8, 8), (4, 4, 4))


def test_a_point_outside_is_refused_in_the_coordinates_slicer_shows() -> None:
    image = sitk.Image(10, 10, 10, sitk.sitkUInt8)
    image.SetOrigin((0.5, 0.5, 0.5))
    with pytest.raises(RegionError) as caught:
        index_box_of(image, (30.0, 5.0, 5.0), (4, 4, 4))
    assert "The point (-30.0, -5.0, 5.0) lies outside" in caught.value.cause
    assert "R -10.0 to -0.0, A -10.0 to -0.0, S 0.0 to 10.0" in caught.value.cause
    assert "RAS millimetres" in caught.value.cause


def test_a_box_in_a_flat_image() -> None:
    image = sitk.Image(10, 8, sitk.sitkUInt8)
    assert index_box_of(image, (4.0, 4.0), (3.0, 30.0)) == ((3, 0), (3, 8))
