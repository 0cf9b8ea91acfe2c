"""Figures of the confusion matrix, against a plain count of pixels and against scikit-learn."""

from __future__ import annotations

import math
import warnings
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from KDSegmentationLogic.evaluation.confusion import confusion_matrix, figures_of, pixel_figures

CLASSES = 4


def maps(seed: int, classes: int = CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """A reference and a prediction that is right for about two pixels of three."""
    random = np.random.default_rng(seed)
    reference = random.integers(0, classes, (30, 20))
    wrong = random.random(reference.shape) < 0.3
    return np.where(wrong, random.integers(0, classes, reference.shape), reference), reference


few = settings(max_examples=25, deadline=None)
label_maps = st.tuples(
    arrays.arrays(np.uint8, (5, 6), elements=st.integers(0, CLASSES - 1)),
    arrays.arrays(np.uint8, (5, 6), elements=st.integers(0, CLASSES - 1)),
)


def test_rows_are_the_reference_and_columns_the_prediction() -> None:
    found = confusion_matrix(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), 3)

    assert found.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]


def test_figures_of_a_matrix_worked_out_by_hand() -> None:
    found = pixel_figures([[50, 10], [5, 35]])

    assert found.accuracy == pytest.approx(0.85)
    assert found.miou == pytest.approx((50 / 65 + 35 / 50) / 2)
    assert found.dice == pytest.approx((100 / 115 + 70 / 85) / 2)
    chance = 0.6 * 0.55 + 0.4 * 0.45
    assert found.kappa == pytest.approx((0.85 - chance) / (1 - chance))


@few
@given(label_maps)
def test_figures_are_those_of_a_plain_count_of_pixels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    said, truth = pair
    ious, dices, chance = [], [], 0.0
    for k in range(CLASSES):
        a, b = said == k, truth == k
        chance += a.mean() * b.mean()
        if a.any() or b.any():
            ious.append((a & b).sum() / (a | b).sum())
            dices.append(2 * (a & b).sum() / (a.sum() + b.sum()))

    found = pixel_figures(confusion_matrix(said, truth, CLASSES))

    assert found.accuracy == pytest.approx((said == truth).mean())
    assert found.miou == pytest.approx(np.mean(ious))
    assert found.dice == pytest.approx(np.mean(dices))
    if len(ious) > 1:
        agreed = (said == truth).mean()
        assert found.kappa == pytest.approx((agreed - chance) / (1 - chance))
    else:
        assert math.isnan(found.kappa)


@pytest.mark.parametrize("seed", range(3))
def test_scikit_learn_says_the_same(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    said, truth = (array.ravel() for array in maps(seed))

    matrix = confusion_matrix(said, truth, CLASSES)
    found = pixel_figures(matrix)

    assert np.array_equal(matrix, metrics.confusion_matrix(truth, said))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, said))
    assert found.miou == pytest.approx(metrics.jaccard_score(truth, said, average="macro"))
    assert found.dice == pytest.approx(metrics.f1_score(truth, said, average="macro"))
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(truth, said))


@few
@given(label_maps)
def test_only_equal_label_maps_have_all_figures_one(pair: tuple[np.ndarray, np.ndarray]) -> None:
    said, truth = pair
    same = pixel_figures(confusion_matrix(truth, truth, CLASSES))
    found = pixel_figures(confusion_matrix(said, truth, CLASSES))

    assert (same.accuracy, same.miou, same.dice) == (1, 1, 1)
    assert (found.miou == 1) == np.array_equal(said, truth)


@few
@given(label_maps, st.permutations(range(CLASSES)))
def test_the_order_of_the_classes_does_not_matter(
    pair: tuple[np.ndarray, np.ndarray], order: list[int]
) -> None:
    before = pixel_figures(confusion_matrix(*pair, CLASSES))
    after = pixel_figures(confusion_matrix(*(np.array(order)[m] for m in pair), CLASSES))

    for name in ("accuracy", "miou", "dice", "kappa"):
        expected = pytest.approx(getattr(before, name), nan_ok=True, abs=1e-12)
        assert getattr(after, name) == expected


def test_a_class_that_neither_has_is_left_out() -> None:
    said, truth = maps(0, classes=2)

    narrow = pixel_figures(confusion_matrix(said, truth, 2))
    wide = pixel_figures(confusion_matrix(said, truth, 5))

    assert wide == pytest.approx(narrow)


def test_a_class_that_only_one_has_counts_as_zero() -> None:
    found = pixel_figures(confusion_matrix(np.array([0, 0, 1]), np.array([0, 0, 0]), 2))

    assert found.miou == pytest.approx((2 / 3 + 0) / 2)
    assert found.kappa == 0


def test_two_empty_label_maps_agree_and_have_no_kappa() -> None:
    empty = np.zeros((7, 3), np.uint8)

    found = pixel_figures(confusion_matrix(empty, empty, 2))

    assert (found.accuracy, found.miou, found.dice) == (1, 1, 1)
    assert math.isnan(found.kappa)


def test_matrices_of_cases_add_up_to_that_of_the_data_set() -> None:
    pairs = [maps(seed) for seed in range(3)]
    whole = confusion_matrix(*(np.concatenate(side) for side in zip(*pairs, strict=True)), CLASSES)

    assert np.array_equal(sum(confusion_matrix(*pair, CLASSES) for pair in pairs), whole)


def test_no_pixel_has_no_figures() -> None:
    found = pixel_figures(confusion_matrix(np.zeros(0, int), np.zeros(0, int), 2))

    assert math.isnan(found.accuracy)
    assert math.isnan(found.dice)


@pytest.mark.parametrize("wrong", [np.array([0, 3]), np.array([-1, 0])])
def test_an_index_that_is_no_class_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not from 0 to 2"):
        confusion_matrix(wrong, np.array([0, 0]), 3)


def test_label_maps_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        confusion_matrix(np.zeros((2, 3), int), np.zeros((3, 2), int), 2)


def test_many_matrices_at_once_have_the_figures_of_each() -> None:
    empty, one_class = np.zeros((CLASSES, CLASSES)), np.diag([7, 0, 0, 0])
    matrices = [empty, one_class, *(confusion_matrix(*maps(seed), CLASSES) for seed in (0, 1))]

    found = figures_of(np.array(matrices).reshape(2, 2, CLASSES, CLASSES))

    expected = [astuple(pixel_figures(matrix)) for matrix in matrices]
    assert found.reshape(4, 4) == pytest.approx(np.array(expected), nan_ok=True)
    assert np.isnan(found[0, 0]).all()
    assert found[0, 1] == pytest.approx([1, 1, 1, math.nan], nan_ok=True)
