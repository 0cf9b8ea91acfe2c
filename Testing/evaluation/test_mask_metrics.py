"""compare_masks: known shapes, empty masks and the laws that distances obey."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from KDSegmentationLogic.evaluation.metrics import compare_masks
from KDSegmentationLogic.evaluation.surface import bounding_box, surface

UNIT = (1.0, 1.0, 1.0)


def cube(corner: tuple[int, int, int], side: int = 6, extent: int = 20) -> np.ndarray:
    mask = np.zeros((extent,) * 3, dtype=bool)
    mask[tuple(slice(start, start + side) for start in corner)] = True
    return mask


shapes = array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=6)
spacings = st.lists(st.floats(0.2, 5.0), min_size=3, max_size=3)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Two masks with foreground, of one shape, and a spacing."""
    shape = draw(shapes)
    masks = [draw(arrays(bool, shape)) for _ in range(2)]
    for mask in masks:
        mask[tuple(draw(st.integers(0, extent - 1)) for extent in shape)] = True
    return masks[0], masks[1], draw(spacings)[: len(shape)]


def test_shifted_cubes_have_the_dice_of_their_common_part() -> None:
    found = compare_masks(cube((4, 4, 4)), cube((4, 4, 6)), UNIT)
    assert found.dice == pytest.approx(4 / 6)


def test_the_hd95_of_shifted_cubes_is_the_shift_in_millimetres() -> None:
    # Of the cube's 152 surface voxels the 36 that face away from the shift lie all of it away.
    found = compare_masks(cube((4, 4, 4)), cube((4, 4, 9)), (1.0, 1.0, 0.5))
    assert found.hd95 == pytest.approx(2.5)


def test_the_assd_of_two_parallel_plates_is_their_gap() -> None:
    first, second = np.zeros((2, 9, 7, 7), dtype=bool)
    first[2], second[5] = True, True
    found = compare_masks(first, second, (1.5, 1.0, 1.0))
    assert found.assd == pytest.approx(4.5)


def test_hd95_is_the_larger_directed_percentile_and_not_the_pooled_one() -> None:
    first, second = np.zeros((2, 1, 100), dtype=bool)
    first[0, :40:2] = second[0, :40:2] = True
    second[0, 68] = second[0, 98] = True
    # Of 22 distances two are 30 and 60; of the 42 of both directions, the 95th percentile is 0.
    expected = np.percentile([0] * 20 + [30, 60], 95)
    assert expected > 0
    assert compare_masks(first, second, (1.0, 1.0)).hd95 == pytest.approx(expected)
    assert compare_masks(second, first, (1.0, 1.0)).hd95 == pytest.approx(expected)


def test_volumes_are_in_the_cube_of_the_spacing() -> None:
    found = compare_masks(cube((4, 4, 4), side=5), cube((4, 4, 4), side=4), (2.0, 0.5, 0.5))
    assert found.volume_difference == pytest.approx((125 - 64) * 0.5)
    assert found.relative_volume_difference == pytest.approx((125 - 64) / 64)


def test_a_single_voxel_is_its_own_surface() -> None:
    found = compare_masks(cube((3, 3, 3), side=1), cube((3, 6, 7), side=1), (1.0, 2.0, 3.0))
    assert (found.dice, found.hd95) == (0.0, pytest.approx(math.hypot(6.0, 12.0)))
    assert found.assd == found.hd95


def test_a_mask_that_fills_the_image_has_its_surface_on_the_border() -> None:
    whole = np.ones((5, 6, 7), dtype=bool)
    expected = whole.copy()
    expected[1:-1, 1:-1, 1:-1] = False
    np.testing.assert_array_equal(surface(whole), expected)


def test_two_masks_that_fill_the_image_agree() -> None:
    whole = np.ones((5, 6, 7), dtype=bool)
    found = compare_masks(whole, whole, UNIT)
    assert (found.dice, found.hd95, found.assd) == (1.0, 0.0, 0.0)
    assert found.surface_dice == 1.0


def test_voxels_that_touch_at_an_edge_only_do_not_cover_a_surface() -> None:
    mask = np.ones((3, 3, 3), dtype=bool)
    mask[0, 0, 1] = False
    assert not surface(mask)[1, 1, 1]
    mask[0, 1, 1] = False
    assert surface(mask)[1, 1, 1]


def test_the_bounding_box_is_tight() -> None:
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[2, 3, 1] = mask[4, 3, 6] = True
    assert bounding_box(mask) == (slice(2, 5), slice(3, 4), slice(1, 7))


def test_two_empty_masks_have_dice_one_and_no_distance() -> None:
    empty = np.zeros((4, 4, 4), dtype=bool)
    found = compare_masks(empty, empty, UNIT)
    assert (found.dice, found.surface_dice, found.presence) == (1.0, 1.0, "absent")
    assert math.isnan(found.hd95)
    assert math.isnan(found.assd)
    assert math.isnan(found.relative_volume_difference)


def test_a_missed_structure_has_dice_zero_and_no_distance() -> None:
    found = compare_masks(np.zeros((20, 20, 20), dtype=bool), cube((2, 2, 2)), UNIT)
    assert (found.dice, found.presence, found.relative_volume_difference) == (0.0, "missed", -1.0)
    assert math.isnan(found.hd95)
    assert math.isnan(found.assd)


def test_an_invented_structure_has_dice_zero_and_no_relative_volume() -> None:
    found = compare_masks(cube((2, 2, 2)), np.zeros((20, 20, 20), dtype=bool), UNIT)
    assert (found.dice, found.presence, found.volume_difference) == (0.0, "spurious", 216.0)
    assert found.surface_dice == 0.0
    assert math.isnan(found.hd95)
    assert math.isnan(found.relative_volume_difference)


@pytest.mark.parametrize(("tolerance", "expected"), [(0.0, 0.0), (0.29, 0.0), (0.3, 1.0)])
def test_a_plane_counts_as_near_from_exactly_its_distance_on(
    tolerance: float, expected: float
) -> None:
    # 3 x 0.1 is a little above 0.3 in floating point
    first, second = np.zeros((8, 5, 5), dtype=bool), np.zeros((8, 5, 5), dtype=bool)
    first[2], second[5] = True, True
    found = compare_masks(first, second, (0.1, 1.0, 1.0), tolerance)
    assert found.surface_dice == expected


def test_surface_dice_is_the_share_of_both_surfaces() -> None:
    # 26 and 8 surface voxels, of which only those of the cubes' touching corners are near
    first, second = cube((4, 4, 4), side=3), cube((7, 7, 7), side=2)
    found = compare_masks(first, second, UNIT, 1.8)
    assert found.surface_dice == pytest.approx(2 / (26 + 8))


def test_a_tolerance_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="below zero"):
        compare_masks(cube((2, 2, 2)), cube((2, 2, 2)), UNIT, -1.0)


@settings(deadline=None)
@given(pairs(), st.floats(0, 5), st.floats(0, 5))
def test_surface_dice_grows_with_the_tolerance(
    pair: tuple[np.ndarray, np.ndarray, list[float]], one: float, other: float
) -> None:
    first, second, spacing = pair
    low, high = sorted((one, other))
    near = [compare_masks(first, second, spacing, t).surface_dice for t in (low, high)]
    assert 0 <= near[0] <= near[1] <= 1


def test_a_volume_of_one_slice_is_measured_as_the_slice() -> None:
    first, second = np.zeros((2, 12, 12), dtype=bool)
    first[2:9, 2:9], second[3:9, 3:11] = True, True
    flat = compare_masks(first, second, (0.7, 0.9))
    volume = compare_masks(first[None], second[None], (5.0, 0.7, 0.9))
    assert (volume.hd95, volume.assd) == (flat.hd95, flat.assd)
    assert volume.reference_volume == pytest.approx(5.0 * flat.reference_volume)


def test_an_image_of_one_voxel_is_measured() -> None:
    found = compare_masks(np.ones((1, 1, 1), dtype=bool), np.ones((1, 1, 1), dtype=bool), UNIT)
    assert (found.dice, found.hd95) == (1.0, 0.0)


def test_a_spacing_that_does_not_fit_the_axes_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit 3 axes"):
        compare_masks(cube((2, 2, 2)), cube((2, 2, 2)), (1.0, 1.0))


def test_a_spacing_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="spacing"):
        compare_masks(cube((2, 2, 2)), cube((2, 2, 2)), (1.0, 0.0, 1.0))


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        compare_masks(cube((2, 2, 2)), cube((2, 2, 2), extent=19), UNIT)


@settings(deadline=None)
@given(pairs())
def test_agreement_is_symmetric(pair: tuple[np.ndarray, np.ndarray, list[float]]) -> None:
    first, second, spacing = pair
    there, back = compare_masks(first, second, spacing), compare_masks(second, first, spacing)
    assert (there.dice, there.hd95) == (back.dice, back.hd95)
    assert there.assd == pytest.approx(back.assd)
    assert there.volume_difference == -back.volume_difference


@settings(deadline=None)
@given(pairs())
def test_a_mask_agrees_with_itself(pair: tuple[np.ndarray, np.ndarray, list[float]]) -> None:
    mask, _, spacing = pair
    found = compare_masks(mask, mask.copy(), spacing)
    assert (found.dice, found.hd95, found.assd, found.volume_difference) == (1.0, 0.0, 0.0, 0.0)


@settings(deadline=None)
@given(pairs())
def test_values_stay_in_their_bounds(pair: tuple[np.ndarray, np.ndarray, list[float]]) -> None:
    first, second, spacing = pair
    found = compare_masks(first, second, spacing)
    diagonal = math.hypot(
        *((extent - 1) * step for extent, step in zip(first.shape, spacing, strict=True))
    )
    assert 0.0 <= found.dice <= 1.0
    assert 0.0 <= found.hd95 <= diagonal * (1 + 1e-12)
    assert 0.0 <= found.assd <= diagonal * (1 + 1e-12)


@settings(deadline=None)
@given(pairs(), st.lists(st.integers(1, 4), min_size=6, max_size=6))
def test_a_shift_of_both_masks_changes_nothing(
    pair: tuple[np.ndarray, np.ndarray, list[float]], margins: list[int]
) -> None:
    first, second, spacing = pair
    padding = [(margins[2 * axis], margins[2 * axis + 1]) for axis in range(first.ndim)]
    moved = compare_masks(np.pad(first, padding), np.pad(second, padding), spacing)
    still = compare_masks(first, second, spacing)
    assert moved.dice == still.dice
    assert moved.hd95 == pytest.approx(still.hd95)
    assert moved.assd == pytest.approx(still.assd)


@settings(deadline=None)
@given(pairs(), st.floats(0.1, 10.0))
def test_scaling_the_spacing_scales_distances_and_volumes(
    pair: tuple[np.ndarray, np.ndarray, list[float]], factor: float
) -> None:
    first, second, spacing = pair
    once = compare_masks(first, second, spacing)
    scaled = compare_masks(first, second, [factor * step for step in spacing])
    assert scaled.dice == once.dice
    assert scaled.hd95 == pytest.approx(factor * once.hd95)
    assert scaled.assd == pytest.approx(factor * once.assd)
    assert scaled.reference_volume == pytest.approx(factor**first.ndim * once.reference_volume)


@settings(deadline=None)
@given(pairs(), st.permutations([0, 1, 2]))
def test_the_order_of_the_axes_does_not_matter(
    pair: tuple[np.ndarray, np.ndarray, list[float]], order: list[int]
) -> None:
    first, second, spacing = pair
    order = [axis for axis in order if axis < first.ndim]
    turned = compare_masks(
        first.transpose(order), second.transpose(order), [spacing[axis] for axis in order]
    )
    straight = compare_masks(first, second, spacing)
    assert turned.hd95 == pytest.approx(straight.hd95)
    assert turned.assd == pytest.approx(straight.assd)
