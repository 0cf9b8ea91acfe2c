"""Two models' label maps beside each other."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.evaluation.agreement import agreement, renumber, volumes_of
from KDSegmentationLogic.imaging.geometry import UNIT_KEY


def image(array: np.ndarray, spacing: float = 2.0) -> sitk.Image:
    result = sitk.GetImageFromArray(np.asarray(array, np.uint8))
    result.SetSpacing([spacing] * result.GetDimension())
    result.SetOrigin([5.0] * result.GetDimension())
    return result


@pytest.fixture
def blocks() -> np.ndarray:
    array = np.zeros((4, 5, 6), np.uint8)
    array[1:3, 1:4, 1:3] = 1
    array[1:3, 1:4, 3:5] = 2
    return array


def test_structures_are_the_same_where_their_names_are(blocks: np.ndarray) -> None:
    other = np.choose(blocks, [0, 9, 4])
    found = agreement(image(blocks), image(other), {1: "a", 2: "b"}, {9: "a", 4: "b"})
    assert [(s.value, s.name, s.dice) for s in found.structures] == [(1, "a", 1), (2, "b", 1)]
    assert not sitk.GetArrayFromImage(found.disagreement).any()


def test_the_disagreement_is_where_the_two_say_different_things(blocks: np.ndarray) -> None:
    other = blocks.copy()
    other[1, 1, 1], other[1, 1, 3] = 2, 0
    found = agreement(image(blocks), image(other), {1: "a", 2: "b"}, {1: "a", 2: "b"})
    assert np.argwhere(sitk.GetArrayFromImage(found.disagreement)).tolist() == [
        [1, 1, 1],
        [1, 1, 3],
    ]
    assert found.disagreement.GetOrigin() == (5.0, 5.0, 5.0)


def test_a_structure_that_one_model_does_not_know_has_no_row_but_differs(
    blocks: np.ndarray,
) -> None:
    found = agreement(image(blocks), image(blocks), {1: "a", 2: "b"}, {1: "a", 2: "c"})
    assert [s.name for s in found.structures] == ["a"]
    assert np.array_equal(sitk.GetArrayFromImage(found.disagreement), blocks == 2)


def test_models_without_a_common_structure_are_refused(blocks: np.ndarray) -> None:
    with pytest.raises(UsageError, match="no structure in common"):
        agreement(image(blocks), image(blocks), {1: "a"}, {1: "liver"})


def test_an_unknown_structure_gets_a_value_above_all_others(blocks: np.ndarray) -> None:
    renumbered = renumber(image(blocks), {1: "b", 2: "c"}, {1: "a", 2: "b", 7: "d"})
    assert np.array_equal(sitk.GetArrayFromImage(renumbered), np.choose(blocks, [0, 2, 8]))


def test_volumes_are_in_millilitres(blocks: np.ndarray) -> None:
    volumes, unit = volumes_of(image(blocks), {1: "a", 2: "b", 3: "none"})
    assert unit == "mL"
    assert volumes == pytest.approx({"a": 12 * 8 / 1000, "b": 12 * 8 / 1000, "none": 0})


def test_a_flat_image_has_areas_or_counts(blocks: np.ndarray) -> None:
    flat = image(blocks[1])
    assert volumes_of(flat, {1: "a"}) == ({"a": 6 * 4.0}, "mm2")
    flat.SetMetaData(UNIT_KEY, "pixel")
    assert volumes_of(flat, {1: "a"}) == ({"a": 6.0}, "px")


def test_values_without_a_name_are_left_out(blocks: np.ndarray) -> None:
    assert set(volumes_of(image(blocks), {1: "a"})[0]) == {"a"}


def test_counting_takes_little_memory_beside_the_image() -> None:
    labels = image(np.ones((64, 128, 128)))
    tracemalloc.start()
    try:
        volumes_of(labels, {1: "a"})
        assert tracemalloc.get_traced_memory()[1] < labels.GetNumberOfPixels()
    finally:
        tracemalloc.stop()
