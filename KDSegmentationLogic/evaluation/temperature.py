"""Temperature scaling: one number that makes a network as certain as it should be.

Guo et al. 2017, arXiv:1706.04599. The logits are divided by a temperature that makes the
negative log-likelihood of held-back labels least; the largest class stays what it was. Of
probabilities the logarithm serves as logits: both differ by a constant at each voxel, which the
softmax takes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

RANGE = (0.05, 20.0)
"""Temperatures that are looked at."""

_SMALLEST = 1e-30  # a float32 softmax ends here; below, its logarithm would be infinite


@dataclass(frozen=True)
class Fitted:
    """The best temperature, and the NLL (nats a voxel) without and with it."""

    temperature: float
    nll_before: float
    nll_after: float


def fit_temperature(members: Sequence[np.ndarray], truth: np.ndarray) -> Fitted:
    """The temperature, shared by all members, of the least NLL of their mean probabilities.

    Parameters
    ----------
    members : of each network the probabilities [k, n] at temperature 1; for a single network a
        list of one.
    truth : the true class of each voxel, integers [n].

    Raises
    ------
    ValueError : no voxels, or shapes that do not fit.
    """
    if not members or not truth.size:
        raise ValueError("a temperature needs voxels to be fitted on")
    if any(member.shape != (len(members[0]), len(truth)) for member in members):
        raise ValueError("the members' probabilities and the labels do not fit each other")
    logits = [np.log(np.maximum(member, _SMALLEST)) for member in members]

    def nll(log_temperature: float) -> float:
        return _nll(logits, truth, float(np.exp(log_temperature)))

    before = nll(0.0)
    low, high = np.log(RANGE)
    best = minimize_scalar(nll, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    if best.fun >= before:  # the search ends a little beside the optimum
        return Fitted(1.0, before, before)
    return Fitted(float(np.exp(best.x)), before, float(best.fun))


def _nll(logits: Sequence[np.ndarray], truth: np.ndarray, temperature: float) -> float:
    """Mean over voxels of -log of the mean over members of the true class's probability."""
    index = truth[np.newaxis].astype(np.intp)
    given = [
        np.take_along_axis(member, index, 0)[0] / temperature
        - logsumexp(member / temperature, axis=0)
        for member in logits
    ]
    return float(-np.mean(logsumexp(given, axis=0) - np.log(len(given))))
