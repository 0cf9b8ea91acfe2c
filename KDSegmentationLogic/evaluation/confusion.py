"""Pixel accuracy, mIoU, Dice and Cohen's kappa, all from the pixels' confusion matrix.

These are the figures of Liu et al. 2024 (doi:10.1007/978-3-031-51455-5_21). Background is a
class like the others, so that they are higher than the figures of ``metrics`` for the same
label maps, and no one should compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PixelFigures:
    """Of one confusion matrix; each from 0 to 1, kappa from -1.

    accuracy : sum_i n_ii / N.
    miou : mean over classes of n_ii / (n_i. + n_.i - n_ii).
    dice : mean over classes of 2 n_ii / (n_i. + n_.i).
    kappa : (p_o - p_e) / (1 - p_e) with p_o the accuracy and p_e = sum_i n_i. n_.i / N^2
        (Cohen 1960).

    A class that neither reference nor prediction has is left out of the two means. Where both
    hold one and the same class only, chance agrees wholly and kappa is nan; without any pixel
    all are.
    """

    accuracy: float
    miou: float
    dice: float
    kappa: float


def confusion_matrix(prediction: np.ndarray, reference: np.ndarray, classes: int) -> np.ndarray:
    """How many pixels of each class were called what: int64 [classes, classes].

    Parameters
    ----------
    prediction, reference : class indices from 0, of one shape.

    Returns
    -------
    The reference's class by row, the prediction's by column; matrices of several images add up.

    Raises
    ------
    ValueError : the shapes differ, or an index is not below ``classes``.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"shapes {prediction.shape} and {reference.shape} differ")
    if not prediction.size:
        return np.zeros((classes, classes), np.int64)
    for array in (prediction, reference):
        if array.min() < 0 or array.max() >= classes:
            raise ValueError(f"a class index is not from 0 to {classes - 1}")
    pairs = reference.astype(np.int64).ravel() * classes + prediction.ravel()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def pixel_figures(matrix: np.ndarray | Sequence[Sequence[int]]) -> PixelFigures:
    """The figures of a confusion matrix [k, k], of one image or of the sum over many."""
    counts = np.asarray(matrix, np.float64)
    total = float(counts.sum())
    if not total:
        return PixelFigures(math.nan, math.nan, math.nan, math.nan)
    right = np.diag(counts)
    either = counts.sum(0) + counts.sum(1)
    there = either > 0
    right, either = right[there], either[there]
    observed = float(right.sum()) / total
    shares = counts.sum(0) / total, counts.sum(1) / total
    expected = float(shares[0] @ shares[1])
    # one class alone: exactly 1, but for rounding of the shares
    alone = len(right) == 1
    return PixelFigures(
        accuracy=observed,
        miou=float(np.mean(right / (either - right))),
        dice=float(np.mean(2 * right / either)),
        kappa=math.nan if alone else (observed - expected) / (1 - expected),
    )
