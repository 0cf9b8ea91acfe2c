"""Does a model know where, and on which case, it is wrong?"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata, spearmanr


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy over the first axis, divided by log k: 0 (certain) to 1 (all classes alike)."""
    safe = np.maximum(probabilities, 1e-12)
    return -(probabilities * np.log(safe)).sum(0) / np.log(len(probabilities))


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive has the higher score than a negative; ties count a half.

    0.5 is no better than chance; nan without both kinds. As the area under the receiver
    operating characteristic (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747).

    Parameters
    ----------
    scores, positive : [n]; what is positive (an error, a failed case) should score high.
    """
    scores, positive = np.asarray(scores), np.asarray(positive, dtype=bool)
    found = int(positive.sum())
    others = positive.size - found
    if not found or not others:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - found * (found + 1) / 2) / (found * others))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation; nan for fewer than three pairs or where one is constant."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)
