"""Paired statistics against scipy, by hand, and by the laws that they obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from KDSegmentationLogic.evaluation.statistics import (
    Interval,
    bootstrap,
    bootstrap_sums,
    by_unit,
    compare,
    holm,
    noninferior,
    paired_differences,
    smallest_p,
    wilcoxon,
)

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)
differences = st.lists(st.floats(-1, 1).map(lambda value: round(value, 6)), min_size=3, max_size=30)


def scores(values: np.ndarray | list[float]) -> dict[str, float]:
    return {f"case{number:03d}": float(value) for number, value in enumerate(values)}


def test_wilcoxon_gives_the_exact_p_value_of_five_gains() -> None:
    # of the 32 ways to sign five ranks one is all plus, one all minus
    assert wilcoxon([1, 2, 3, 4, 5]) == pytest.approx(2 / 32)
    assert wilcoxon([1, 2, 3, 4, 5], "greater") == pytest.approx(1 / 32)


@pytest.mark.parametrize("units", [1, 5, 8, 20])
def test_the_smallest_p_value_is_that_of_gains_alone(units: int) -> None:
    assert smallest_p(units) == pytest.approx(2 / 2**units)


def test_wilcoxon_ranks_zeros_and_leaves_them_out() -> None:
    # |d| has the ranks 1.5, 1.5, 3, 4, 5; of the sums of ranks that of the gains is 8
    n, z, gains = 5, 2, 8
    mean = (n * (n + 1) - z * (z + 1)) / 4
    deviation = np.sqrt((n * (n + 1) * (2 * n + 1) - z * (z + 1) * (2 * z + 1)) / 24)
    expected = 2 * stats.norm.sf((gains - mean) / deviation)
    assert stats.wilcoxon([0, 0, 1, -2, 3], zero_method="pratt", method="approx").pvalue == (
        pytest.approx(expected)
    )
    twenty = [0.0] * 20 + [0.01 * k for k in range(1, 41)]
    assert wilcoxon(twenty) == stats.wilcoxon(twenty, zero_method="pratt").pvalue
    assert wilcoxon(twenty) != stats.wilcoxon(twenty, zero_method="wilcox").pvalue


def test_two_models_that_are_alike_have_p_one() -> None:
    found = compare(scores([0.8, 0.9]), scores([0.8, 0.9]))
    assert (found.p_value, found.difference, found.interval) == (1.0, 0.0, Interval(0.0, 0.0))


def test_holm_is_as_in_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(p_values)
def test_holm_keeps_the_order_and_never_lowers_a_p_value(values: list[float]) -> None:
    corrected = holm(values)
    assert all(c >= p and c <= 1 for c, p in zip(corrected, values, strict=True))
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)


@given(p_values)
def test_holm_lies_between_none_and_bonferroni(values: list[float]) -> None:
    for corrected, value in zip(holm(values), values, strict=True):
        assert corrected <= min(1.0, len(values) * value) + 1e-12


def test_holm_of_a_single_test_corrects_nothing() -> None:
    assert holm([0.02]) == [0.02]


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(3).exponential(0.01, 24)
    expected = stats.bootstrap((values,), np.mean, n_resamples=20000, method="BCa")
    found = bootstrap(values.tolist(), resamples=20000)
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.05 * width)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.05 * width)


def test_the_interval_is_the_same_for_the_same_seed() -> None:
    values = [0.1, 0.4, -0.2, 0.3, 0.05]
    assert bootstrap(values, seed=1) == bootstrap(values, seed=1)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        found = bootstrap(random.normal(0.3, 1, 30).tolist(), resamples=600, seed=trial)
        held += found.low <= 0.3 <= found.high
    assert 0.88 <= held / 200 <= 0.99


@settings(deadline=None, max_examples=30)
@given(differences, st.floats(0.1, 10))
def test_the_interval_scales_and_stays_within_the_values(
    values: list[float], factor: float
) -> None:
    once = bootstrap(values, resamples=300)
    scaled = bootstrap([factor * value for value in values], resamples=300)
    assert min(values) - 1e-9 <= once.low <= once.high <= max(values) + 1e-9
    # the means of a few distinct values tie, and rounding may then part the ties
    if len(set(values)) == len(values) > 5:
        assert scaled.low == pytest.approx(factor * once.low, abs=0.02 * factor)


@settings(deadline=None, max_examples=30)
@given(differences)
def test_a_comparison_turned_round_changes_its_sign_only(values: list[float]) -> None:
    zero = scores(np.zeros(len(values)))
    there, back = compare(scores(values), zero), compare(zero, scores(values))
    assert there.difference == pytest.approx(-back.difference)
    assert there.p_value == pytest.approx(back.p_value)


def ratio(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return sums[:, :1] / sums[:, 1:]


def test_the_interval_of_a_ratio_of_sums_is_that_of_scipy() -> None:
    random = np.random.default_rng(5)
    sizes = random.exponential(100, 24)
    right = sizes * random.uniform(0.5, 1, 24)
    expected = stats.bootstrap(
        (right, sizes),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        n_resamples=20000,
        method="BCa",
    ).confidence_interval

    (found,) = bootstrap_sums(np.stack([right, sizes], 1), ratio, resamples=20000)

    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.05 * width)


def test_resamples_in_which_a_figure_is_undefined_do_not_count() -> None:
    # a third of the units has nothing to divide by
    values = np.array([[0.2, 1], [0.6, 1], [0, 0]])

    (found,) = bootstrap_sums(values, ratio)

    assert (found.low, found.high) == pytest.approx((0.2, 0.6))


def test_a_figure_that_is_undefined_has_no_interval() -> None:
    (found,) = bootstrap_sums(np.zeros((4, 2)), ratio)

    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("units", [1, 3])
def test_units_that_are_alike_have_an_interval_of_no_width(units: int) -> None:
    (found,) = bootstrap_sums(np.full((units, 2), [3.0, 4.0]), ratio)

    assert found == Interval(0.75, 0.75)


def test_models_of_other_cases_are_not_paired() -> None:
    with pytest.raises(ValueError, match="same cases"):
        paired_differences({"a": 1.0}, {"b": 1.0})


def test_equal_differences_tie_although_floating_point_parts_them() -> None:
    found = paired_differences(scores([0.3, 0.7]), scores([0.1, 0.5]))
    assert found[0] == found[1]


def test_the_cases_of_one_patient_count_once() -> None:
    values = {"left": 0.8, "right": 0.6, "other": 0.9}
    assert by_unit(values, {"left": "anna", "right": "anna"}) == {
        "anna": pytest.approx(0.7),
        "other": 0.9,
    }


@pytest.mark.parametrize(
    ("shift", "holds"), [(0.0, True), (-0.003, True), (-0.005, False), (-0.02, False)]
)
def test_a_model_is_non_inferior_up_to_the_margin(shift: float, holds: bool) -> None:
    random = np.random.default_rng(1)
    reference = random.uniform(0.8, 0.9, 24)
    new = reference + shift + random.normal(0, 0.001, 24)
    assert noninferior(scores(new), scores(reference), 0.005).holds is holds


def test_noise_wider_than_the_margin_proves_nothing() -> None:
    random = np.random.default_rng(2)
    reference = random.uniform(0.8, 0.9, 24)
    found = noninferior(scores(reference + random.normal(0, 0.05, 24)), scores(reference), 0.005)
    assert not found.holds
    assert found.lower < -0.005


def test_a_difference_of_exactly_the_margin_is_not_counted_for_it() -> None:
    reference = np.linspace(0.8, 0.9, 12)
    found = noninferior(scores(reference - 0.005), scores(reference), 0.005)
    assert (found.holds, found.p_value) == (False, 1.0)


@settings(deadline=None, max_examples=30)
@given(differences, st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_wider_margin_never_turns_the_verdict(
    values: list[float], one: float, other: float
) -> None:
    zero = scores(np.zeros(len(values)))
    low, high = sorted((one, other))
    if noninferior(scores(values), zero, low).holds:
        assert noninferior(scores(values), zero, high).holds
