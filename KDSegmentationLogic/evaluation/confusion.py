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
    return PixelFigures(*figures_of(np.asarray(matrix)).tolist())


def figures_of(matrices: np.ndarray) -> np.ndarray:
    """Those of each of many matrices [..., k, k], in ``PixelFigures``' order: [..., 4]."""
    counts = matrices.astype(np.float64)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    said, true = counts.sum(-2), counts.sum(-1)
    total = true.sum(-1)
    there = said + true > 0
    classes = there.sum(-1)
    # what divides by zero here is undefined, or of a class that does not count
    with np.errstate(invalid="ignore"):
        observed = right.sum(-1) / total
        expected = (said / total[..., None] * (true / total[..., None])).sum(-1)
        iou, dice = right / (said + true - right), 2 * right / (said + true)
        means = [np.where(there, each, 0).sum(-1) / classes for each in (iou, dice)]
        kappa = (observed - expected) / (1 - expected)
    # one class alone: exactly 1, but for rounding of the shares
    return np.stack([observed, *means, np.where(classes > 1, kappa, math.nan)], -1)
