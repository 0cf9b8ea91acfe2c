"""compare_labels: which structures are reported, in which unit, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.evaluation.metrics import compare_masks
from KDSegmentationLogic.evaluation.structures import compare_labels

NAMES = {1: "liver", 2: "spleen"}


def image_of(array: np.ndarray, spacing: tuple[float, ...] | None = None) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    if spacing:
        image.SetSpacing(spacing)
    return image


def organs() -> np.ndarray:
    array = np.zeros((12, 14, 16), dtype=np.uint8)
    array[2:6, 3:9, 4:10] = 1
    array[7:10, 2:5, 11:16] = 2
    return array


def test_each_named_structure_is_reported_in_the_order_of_its_value() -> None:
    results = compare_labels(image_of(organs()), image_of(organs()), {2: "spleen", 1: "liver"})
    assert [(result.value, result.name) for result in results] == [(1, "liver"), (2, "spleen")]


def test_structures_measure_as_their_whole_masks_do() -> None:
    prediction, reference = np.roll(organs(), (1, 2), (0, 2)), organs()
    spacing_xyz = (0.5, 1.5, 3.0)
    results = compare_labels(
        image_of(prediction, spacing_xyz), image_of(reference, spacing_xyz), NAMES
    )
    for result in results:
        whole = compare_masks(
            prediction == result.value, reference == result.value, spacing_xyz[::-1]
        )
        assert (result.dice, result.hd95, result.assd) == (whole.dice, whole.hd95, whole.assd)


def test_a_label_without_a_name_is_reported_under_its_value() -> None:
    prediction = organs()
    prediction[0, 0, 0] = 7
    results = compare_labels(image_of(prediction), image_of(organs()), NAMES)
    assert (results[-1].name, results[-1].value, results[-1].presence) == ("7", 7, "spurious")


def test_a_named_structure_in_neither_image_is_reported_as_absent() -> None:
    results = compare_labels(image_of(organs()), image_of(organs()), {**NAMES, 5: "kidney"})
    assert (results[-1].name, results[-1].presence, results[-1].dice) == ("kidney", "absent", 1.0)


def test_the_background_is_no_structure() -> None:
    results = compare_labels(image_of(organs()), image_of(organs()), {0: "background", **NAMES})
    assert [result.value for result in results] == [1, 2]


def test_volumes_of_3d_images_are_in_millilitres() -> None:
    prediction = organs()
    prediction[prediction == 2] = 0
    results = compare_labels(
        image_of(prediction, (2.0, 2.0, 5.0)), image_of(organs(), (2.0, 2.0, 5.0)), NAMES
    )
    assert results[1].volume_difference == pytest.approx(-3 * 3 * 5 * 20.0 / 1000)
    assert (results[1].unit, results[1].volume_unit) == ("mm", "mL")
    assert math.isnan(results[1].hd95)


def test_a_3d_image_of_unit_spacing_is_in_millimetres() -> None:
    results = compare_labels(image_of(organs()), image_of(organs()), NAMES)
    assert {result.unit for result in results} == {"mm"}


def test_a_2d_image_without_spacing_is_in_pixels() -> None:
    prediction = np.roll(organs()[3], 2, axis=1)
    results = compare_labels(image_of(prediction), image_of(organs()[3]), {1: "nerve"})
    assert (results[0].unit, results[0].volume_unit) == ("px", "px")
    assert results[0].reference_volume == 36.0
    assert results[0].hd95 == 2.0


def test_a_2d_image_with_spacing_is_in_millimetres() -> None:
    prediction = np.roll(organs()[3], 2, axis=1)
    results = compare_labels(
        image_of(prediction, (0.5, 0.5)), image_of(organs()[3], (0.5, 0.5)), {1: "nerve"}
    )
    assert (results[0].unit, results[0].volume_unit) == ("mm", "mm2")
    assert results[0].reference_volume == 9.0
    assert results[0].hd95 == 1.0


def test_pixels_asked_for_ignore_the_spacing() -> None:
    prediction = image_of(np.roll(organs(), 2, axis=2), (0.5, 3.0, 4.0))
    results = compare_labels(prediction, image_of(organs(), (0.5, 3.0, 4.0)), {1: "a"}, unit="px")
    assert (results[0].hd95, results[0].reference_volume) == (2.0, 144.0)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        compare_labels(image_of(organs()), image_of(organs()), NAMES, unit="cm")


def test_a_structure_one_voxel_thin_in_a_thick_image_keeps_its_third_axis() -> None:
    prediction, reference = np.zeros((2, 9, 8, 8), dtype=np.uint8)
    prediction[4, 1:7, 1:7], reference[4, 1:7, 1:7] = 1, 1
    reference[4, 3, 3] = 0
    result = compare_labels(image_of(prediction), image_of(reference), {1: "plate"})[0]
    # All 36 voxels of the plate are on its surface in 3-D, one of them has no partner.
    assert result.assd == pytest.approx(1 / 71)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint32, np.int64, np.float32, np.float64])
def test_labels_of_every_number_type_are_read(kind: type) -> None:
    results = compare_labels(image_of(organs().astype(kind)), image_of(organs()), NAMES)
    assert [result.dice for result in results] == [1.0, 1.0]


def test_large_and_sparse_label_values_are_measured() -> None:
    array = organs().astype(np.uint32)
    array[array == 2] = 3_000_000_000
    results = compare_labels(image_of(array), image_of(array), {1: "liver"})
    assert [result.value for result in results] == [1, 3_000_000_000]


def test_other_sizes_are_refused_with_a_remedy() -> None:
    with pytest.raises(ImageError, match=r"case_7 .* 16 x 14 x 11 and 16 x 14 x 12") as caught:
        compare_labels(image_of(organs()[:-1]), image_of(organs()), NAMES, case="case_7")
    assert "Resample" in caught.value.remedy


def test_another_spacing_is_refused() -> None:
    with pytest.raises(ImageError, match="different grids"):
        compare_labels(image_of(organs(), (1.0, 1.0, 1.2)), image_of(organs()), NAMES)


def test_another_origin_is_refused() -> None:
    moved = image_of(organs())
    moved.SetOrigin((0.0, 3.0, 0.0))
    with pytest.raises(ImageError, match="3 voxels apart"):
        compare_labels(moved, image_of(organs()), NAMES)


def test_another_direction_is_refused() -> None:
    flipped = image_of(organs())
    flipped.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))
    with pytest.raises(ImageError, match="different grids"):
        compare_labels(flipped, image_of(organs()), NAMES)


def test_the_rounding_of_a_file_header_is_no_other_grid() -> None:
    rounded = image_of(organs(), (1.0 + 1e-6, 1.0, 1.0 - 1e-6))
    rounded.SetOrigin((1e-5, -1e-5, 0.0))
    assert compare_labels(rounded, image_of(organs()), NAMES)[0].dice == 1.0


def test_an_image_of_another_dimension_is_refused() -> None:
    with pytest.raises(ImageError, match="different grids"):
        compare_labels(image_of(organs()[3]), image_of(organs()), NAMES)


def test_probabilities_are_refused() -> None:
    soft = image_of(organs().astype(np.float32) * 0.3)
    with pytest.raises(ImageError, match=r"prediction of case_7 .* not whole numbers"):
        compare_labels(soft, image_of(organs()), NAMES, case="case_7")


def test_values_that_are_not_numbers_are_refused() -> None:
    broken = organs().astype(np.float32)
    broken[0, 0, 0] = np.nan
    with pytest.raises(ImageError, match="reference of"):
        compare_labels(image_of(organs()), image_of(broken), NAMES)


def test_a_colour_image_is_refused() -> None:
    colour = sitk.GetImageFromArray(np.zeros((4, 4, 3), dtype=np.uint8), isVector=True)
    with pytest.raises(ImageError, match="one number for each voxel"):
        compare_labels(colour, colour, NAMES)
