"""Several teachers that know different structures, heard as one that knows all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_LEAST = 1e-6


def merged(each: Sequence[Tensor], knows: Sequence[Sequence[int]]) -> Tensor:
    """Probabilities of all classes, [n, k, ...], from those of teachers of some of them.

    After MS-KD, Feng et al. 2021 (arXiv:2108.02559), where each of several single-organ teachers
    speaks for its organ and for the background on which all agree. Here the odds of a structure
    against its teacher's background stay what they are, and the background, to which they are
    relative, is common: q_k is proportional to p_k / p_0 of the teacher that knows class k, and
    q_0 to 1. So a voxel is background where all say so, and of two teachers that claim it the
    surer one gets the larger share. That rule is ours.

    Parameters
    ----------
    each : of each teacher, [n, 1 + number of its classes, ...], background first.
    knows : of each teacher, the classes from 1 on that its outputs stand for. Those that know
        the same ones are averaged; no class is known to two kinds of teachers.
    """
    kinds = list(dict.fromkeys(tuple(classes) for classes in knows))
    count = 1 + sum(len(kind) for kind in kinds)
    n, _, *size = each[0].shape
    odds = each[0].new_zeros((n, count, *size))
    for kind in kinds:
        alike = [p for p, classes in zip(each, knows, strict=True) if tuple(classes) == kind]
        mean = torch.stack(alike).mean(0).clamp_min(_LEAST).log()
        odds[:, list(kind)] = mean[:, 1:] - mean[:, :1]
    return torch.softmax(odds, 1)
