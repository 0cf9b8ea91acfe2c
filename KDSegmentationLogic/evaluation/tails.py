"""Behaviour on the worst cases, which a mean hides.

Petrov et al. 2023 (PMC10502003) call a member's result an outlier where it is among the worst
5 %, and an image of high risk where at least one member is an outlier on it. The rule here,
in that sense:

- the limit is the 5th percentile of the Dice of all members on all cases, pooled (linear
  interpolation); one limit for every arm of a study, so that the arms can be compared;
- a result is an outlier where its Dice is below the limit, or 0: where more than 5 % of the
  members' results are 0 the limit is 0 too, and nothing would be below it;
- a case is of high risk where at least one member's result is an outlier.

By its making about 5 % of the members' results are outliers, or those that are 0 if more; an
ensemble or a student is better in the tail where it has fewer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OUTLIER_PERCENT = 5.0


def outlier_limit(members: Sequence[Sequence[float]], percent: float = OUTLIER_PERCENT) -> float:
    """The Dice below which a result is an outlier.

    Parameters
    ----------
    members : the Dice of each member on each case.

    Raises
    ------
    ValueError : no result at all.
    """
    pooled = np.concatenate([np.asarray(values, dtype=float) for values in members])
    if not pooled.size:
        raise ValueError("there are no results to take a limit from")
    return float(np.percentile(pooled, percent))


def are_outliers(dice: Sequence[float], limit: float) -> np.ndarray:
    """Which results are outliers: boolean, as many."""
    values = np.asarray(dice, dtype=float)
    return (values < limit) | (values == 0)


def outlier_rate(dice: Sequence[float], limit: float) -> float:
    """The share of results that are outliers; nan of none."""
    outliers = are_outliers(dice, limit)
    return float(np.mean(outliers)) if outliers.size else float("nan")


def high_risk(members: Sequence[Sequence[float]], limit: float) -> np.ndarray:
    """Which cases are outliers of at least one member: boolean [cases]."""
    return np.any([are_outliers(dice, limit) for dice in members], axis=0)
