"""Paired statistics: is one model better than another on the same cases, and by how much?

The unit is a patient: where one has several cases, their mean counts once (``by_unit``), since
two scans of one head are not two pieces of evidence.

Test : Wilcoxon's signed-rank test, zeros ranked and then left out (Pratt 1959): were they left
    out before, a case that turns from a tie into a small gain could raise the p-value. Exact
    up to 50 units without zeros and ties, else by the normal approximation (scipy's rule).
Interval : of the mean difference, by the bootstrap over units, bias-corrected and accelerated
    (BCa; Efron 1987, doi:10.1080/01621459.1987.10478410), ``RESAMPLES`` resamples, seeded. Of
    figures that are no mean over units: ``bootstrap_sums``.
Several tests : Holm's step-down correction (1979), which holds whatever their dependence.
Non-inferiority : see ``noninferior``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

RESAMPLES = 10_000
CONFIDENCE = 0.95
MARGIN = 0.005
"""Of non-inferiority: half a Dice point."""

_BLOCK = 500  # resamples
_DECIMALS = 12  # 0.855 - 0.86 + 0.005 is to be zero, and not what floating point makes of it

Values = Sequence[float] | np.ndarray
Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True)
class Interval:
    """Both ends of a confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One model minus another over ``units`` patients: mean, its interval, two-sided p."""

    units: int
    difference: float
    interval: Interval
    p_value: float


@dataclass(frozen=True)
class NonInferiority:
    """Whether a model is at most ``margin`` worse; see ``noninferior``."""

    margin: float
    difference: float
    lower: float
    p_value: float
    holds: bool


def by_unit(values: Mapping[str, float], unit_of: Mapping[str, str]) -> dict[str, float]:
    """The mean of each unit's cases. ``unit_of``: case to patient; others are their own."""
    gathered: dict[str, list[float]] = {}
    for case, value in values.items():
        gathered.setdefault(unit_of.get(case, case), []).append(value)
    return {unit: float(np.mean(found)) for unit, found in gathered.items()}


def paired_differences(first: Mapping[str, float], second: Mapping[str, float]) -> np.ndarray:
    """``first`` minus ``second``, unit by unit, rounded so that equal ones tie in the ranks.

    Raises
    ------
    ValueError : they are not of the same units.
    """
    if set(first) != set(second):
        raise ValueError("the two were not measured on the same cases")
    differences = [first[unit] - second[unit] for unit in sorted(first)]
    return np.round(differences, _DECIMALS)


def wilcoxon(differences: Values, alternative: Alternative = "two-sided") -> float:
    """The p-value of differences that would be symmetric round 0; 1 where all of them are 0."""
    values = np.asarray(differences, dtype=float)
    if not np.any(values):
        return 1.0
    return float(stats.wilcoxon(values, zero_method="pratt", alternative=alternative).pvalue)


def smallest_p(units: int) -> float:
    """The least two-sided p-value that so many units can have: of differences of one sign."""
    return wilcoxon(range(1, units + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values, in the order given: each may be held against alpha itself."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(order))
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[index]))
        corrected[index] = largest
    return corrected.tolist()


def bootstrap(
    differences: Values,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The BCa interval of the mean; the mean itself where all values are alike.

    Raises
    ------
    ValueError : no values.
    """
    values = np.asarray(differences, dtype=float)
    if not values.size:
        raise ValueError("there is nothing to take an interval of")
    if np.ptp(values) == 0:
        return Interval(float(values[0]), float(values[0]))
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(values), (resamples, len(values)))
    left_out = (values.sum() - values) / (len(values) - 1)
    return _bca(values.mean(), values[drawn].mean(1), left_out, confidence)


def bootstrap_sums(
    parts: np.ndarray,
    figures: Callable[[np.ndarray], np.ndarray],
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Interval]:
    """The BCa intervals of figures of a sum over units, as of a pooled confusion matrix.

    Parameters
    ----------
    parts : what each unit adds to the sum: [units, ...].
    figures : of sums [n, ...] their figures [n, figures], nan where undefined. Resamples in
        which a figure is undefined do not count for it; its interval is nan where it is itself.
    """
    units = len(parts)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(units, np.full(units, 1 / units), resamples)
    # in blocks: of many classes and seeds all sums together would not fit the memory
    blocks = np.array_split(drawn, math.ceil(resamples / _BLOCK))
    resampled = np.concatenate([figures(np.tensordot(block, parts, 1)) for block in blocks])
    whole = parts.sum(0)
    found, left_out = figures(whole[None])[0], figures(whole - parts)
    columns = zip(found, resampled.T, left_out.T, strict=True)
    return [_bca(*column, confidence) for column in columns]


def _bca(found: float, resampled: np.ndarray, left_out: np.ndarray, confidence: float) -> Interval:
    """Efron 1987, equation 6.8. ``left_out``: the figure without each unit in turn."""
    resampled, left_out = (each[~np.isnan(each)] for each in (resampled, left_out))
    if math.isnan(found) or not resampled.size or np.ptp(resampled) == 0:
        return Interval(float(found), float(found))
    below = (np.mean(resampled < found) + np.mean(resampled <= found)) / 2
    # a figure that no resample reaches has no bias in numbers; half a resample is the next
    half = 0.5 / len(resampled)
    bias = stats.norm.ppf(np.clip(below, half, 1 - half))
    moves = left_out.mean() - left_out
    spread = np.sum(moves**2) ** 1.5
    acceleration = np.sum(moves**3) / (6 * spread) if spread else 0.0
    moved = bias + stats.norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2])
    shares = stats.norm.cdf(bias + moved / (1 - acceleration * moved))
    return Interval(*np.quantile(resampled, shares).tolist())


def compare(first: Mapping[str, float], second: Mapping[str, float], seed: int = 0) -> Comparison:
    """``first`` against ``second``, value by unit. Raises as ``paired_differences``."""
    differences = paired_differences(first, second)
    return Comparison(
        units=len(differences),
        difference=float(differences.mean()),
        interval=bootstrap(differences, seed=seed),
        p_value=wilcoxon(differences),
    )


def noninferior(
    new: Mapping[str, float],
    reference: Mapping[str, float],
    margin: float = MARGIN,
    alpha: float = (1 - CONFIDENCE) / 2,
    seed: int = 0,
) -> NonInferiority:
    """Is ``new`` at most ``margin`` below ``reference``, where more is better?

    Holds where both do: the one-sided signed-rank test of (difference + margin) > 0 at level
    ``alpha``, and the lower end of the two-sided (1 - 2 alpha) interval of the mean difference
    above -margin. The one looks at the pairs' order, the other at the mean; with the common
    alpha of 0.025 the interval is the one that ``compare`` gives.
    """
    differences = paired_differences(new, reference)
    lower = bootstrap(differences, confidence=1 - 2 * alpha, seed=seed).low
    p_value = wilcoxon(np.round(differences + margin, _DECIMALS), "greater")
    return NonInferiority(
        margin=margin,
        difference=float(differences.mean()),
        lower=lower,
        p_value=p_value,
        holds=bool(p_value < alpha and lower > -margin),
    )
