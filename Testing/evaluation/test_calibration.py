"""Calibration near the structures, temperature scaling, and uncertainty against error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.metrics import log_loss, roc_auc_score

from KDSegmentationLogic.evaluation.calibration import (
    Reliability,
    calibration,
    near_structures,
    reliability,
)
from KDSegmentationLogic.evaluation.tails import high_risk, outlier_limit, outlier_rate
from KDSegmentationLogic.evaluation.temperature import fit_temperature
from KDSegmentationLogic.evaluation.uncertainty import auroc, entropy, spearman


def drawn(voxels: int, seed: int = 0, classes: int = 3, scale: float = 2.0) -> np.ndarray:
    """Logits [k, n]."""
    return scale * np.random.default_rng(seed).standard_normal((classes, voxels))


def labels_of(probabilities: np.ndarray, seed: int = 1) -> np.ndarray:
    """A class for each voxel, drawn by its probabilities: these are then calibrated."""
    picked = np.random.default_rng(seed).random(probabilities.shape[1])
    return (picked > probabilities.cumsum(0)[:-1]).sum(0)


def test_a_margin_is_in_millimetres_along_every_axis() -> None:
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[4, 4, 4] = True
    near = near_structures(mask, (2.0, 1.0, 0.5), 2.0)
    assert near[:, 4, 4].sum() == 3
    assert near[4, :, 4].sum() == 5
    assert near[4, 4, :].sum() == 9
    assert not near[5, 5, 4]


def test_the_margin_is_round_all_structures_and_ends_at_the_border() -> None:
    labels = np.zeros((20, 6), dtype=np.uint8)
    labels[0, 0], labels[19, 5] = 1, 2
    near = near_structures(labels, (1.0, 1.0), 1.0)
    assert set(map(tuple, np.argwhere(near))) == {(0, 0), (1, 0), (0, 1), (19, 5), (18, 5), (19, 4)}


def test_without_structures_there_is_nothing_near_one() -> None:
    empty = np.zeros((3, 3))
    assert not near_structures(empty, (1, 1), 5.0).any()


def test_nll_is_that_of_scikit_learn_and_brier_that_of_its_definition() -> None:
    probabilities = softmax(drawn(500), axis=0)
    truth = labels_of(probabilities)
    found = calibration(probabilities, truth)
    assert found.nll == pytest.approx(log_loss(truth, probabilities.T))
    squares = (probabilities - np.eye(3)[truth].T) ** 2
    assert found.brier == pytest.approx(squares.sum(0).mean())


def test_ece_of_two_bins_by_hand() -> None:
    # 0.9 sure of four and right on two; 0.55 sure of four and right on three
    confidence = np.array([0.9] * 4 + [0.55] * 4)
    correct = np.array([1, 1, 0, 0, 1, 1, 1, 0], dtype=bool)
    assert reliability(confidence, correct, 10).ece == pytest.approx((0.4 + 0.2) / 2)


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    found = reliability(np.array([0.5, 0.50001, 1.0]), np.ones(3, dtype=bool), 2)
    assert found.voxels == (1, 2)


def test_probabilities_that_labels_were_drawn_from_are_calibrated() -> None:
    probabilities = softmax(drawn(40000), axis=0)
    assert calibration(probabilities, labels_of(probabilities)).ece < 0.01


def test_a_probability_of_zero_for_the_truth_costs_much_but_not_all() -> None:
    found = calibration(np.array([[1.0], [0.0]]), np.array([1]))
    assert found.nll == pytest.approx(-math.log(1e-7))
    assert (found.brier, found.ece) == (2.0, 1.0)


def test_no_voxels_give_no_figures() -> None:
    found = calibration(np.zeros((3, 0)), np.zeros(0, dtype=int))
    assert found.voxels == 0
    assert all(math.isnan(value) for value in (found.nll, found.brier, found.ece))


def test_bins_of_several_cases_add_up() -> None:
    probabilities = softmax(drawn(300), axis=0)
    truth = labels_of(probabilities, 5)
    whole = calibration(probabilities, truth).reliability
    parts = [calibration(probabilities[:, s], truth[s]) for s in (slice(100), slice(100, None))]
    added = Reliability.of_all(part.reliability for part in parts)
    assert added.voxels == whole.voxels
    assert added.correct == whole.correct
    assert added.ece == pytest.approx(whole.ece)


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(0, 100), st.floats(0.1, 8), st.integers(2, 5))
def test_calibration_stays_in_its_bounds(n: int, seed: int, scale: float, classes: int) -> None:
    probabilities = softmax(drawn(n, seed, classes, scale), axis=0)
    truth = np.random.default_rng(seed).integers(0, classes, n)
    found = calibration(probabilities, truth)
    assert 0 <= found.ece <= 1
    assert 0 <= found.brier <= 2
    assert found.nll >= 0
    assert found.voxels == n


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    logits = drawn(30000)
    truth = labels_of(softmax(logits, axis=0))
    found = fit_temperature([softmax(logits * temperature, axis=0)], truth)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.nll_after <= found.nll_before


def test_an_ensembles_temperature_is_that_of_the_mean_of_its_scaled_members() -> None:
    logits = [3 * drawn(3000, seed) for seed in range(3)]
    truth = labels_of(softmax(drawn(3000, 0), axis=0))

    def nll(temperature: float) -> float:
        mean = np.mean([softmax(member / temperature, axis=0) for member in logits], axis=0)
        return log_loss(truth, mean.T)

    found = fit_temperature([softmax(member, axis=0) for member in logits], truth)
    best = minimize_scalar(nll, bounds=(0.1, 20), method="bounded")
    assert found.nll_after == pytest.approx(best.fun, abs=1e-5)
    assert found.nll_before == pytest.approx(nll(1.0))
    assert found.temperature == pytest.approx(best.x, rel=0.01)


def test_a_temperature_without_voxels_is_refused() -> None:
    with pytest.raises(ValueError, match="voxels"):
        fit_temperature([np.zeros((2, 0))], np.zeros(0, dtype=int))


def test_entropy_is_zero_when_certain_and_one_when_clueless() -> None:
    found = entropy(np.array([[1.0, 0.25], [0.0, 0.25], [0.0, 0.25], [0.0, 0.25]]))
    np.testing.assert_allclose(found, [0.0, 1.0], atol=1e-9)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40).filter(
        lambda pairs: len({positive for _, positive in pairs}) == 2
    )
)
def test_auroc_is_that_of_scikit_learn_ties_included(pairs: list[tuple[int, bool]]) -> None:
    scores, positive = (np.array(column) for column in zip(*pairs, strict=True))
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def test_auroc_needs_both_kinds() -> None:
    assert math.isnan(auroc(np.array([1.0, 2.0]), np.array([True, True])))


def test_spearman_sees_order_only() -> None:
    assert spearman(np.array([1.0, 2.0, 3.0, 9.0]), np.array([8.0, 4.0, 3.9, 0.0])) == -1.0
    assert math.isnan(spearman(np.array([1.0, 1.0, 1.0]), np.array([1.0, 2.0, 3.0])))


def test_the_limit_is_the_fifth_percentile_of_all_members_results() -> None:
    members = [np.linspace(0.0, 0.5, 51), np.linspace(0.51, 1.0, 50)]
    assert outlier_limit(members) == pytest.approx(0.05)


def test_a_result_at_the_limit_is_no_outlier() -> None:
    assert outlier_rate([0.1, 0.2, 0.3, 0.4], 0.2) == 0.25


def test_a_result_of_nothing_is_an_outlier_however_many_there_are() -> None:
    dice = [0.0, 0.0, 0.5, 0.9]
    assert outlier_limit([dice]) == 0
    assert outlier_rate(dice, 0.0) == 0.5
    assert high_risk([dice], 0.0).tolist() == [True, True, False, False]


def test_one_outlying_member_makes_a_case_one_of_high_risk() -> None:
    members = [[0.9, 0.1, 0.9], [0.9, 0.9, 0.2]]
    assert high_risk(members, 0.15).tolist() == [False, True, False]
