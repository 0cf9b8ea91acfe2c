"""What the classes are taken for on average, without comparing voxel with voxel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.base import Term
from KDSegmentationLogic.distillation.terms.softening import (
    both_log_probabilities,
    check_temperature,
    divergence,
)


@dataclass(frozen=True)
class ClassAffinity(Term):
    """T^2 * sum over classes c of (KL(a_c || b_c) + KL(b_c || a_c)) / 2, a teacher, b student.

    UMMKD, Dou et al. 2020 (arXiv:2001.03111). a_c and b_c are softmax(m_c / T), with m_c the
    mean of the logits over the voxels of the batch that are labelled c: k x k numbers, so no
    voxel is held against the same voxel of the teacher. The teacher's logits are the logarithms
    of its probabilities, which differs from logits by a constant that softmax takes out. Their
    code averages over the classes and leaves out T^2: its weight of 0.5 at T = 2 is
    0.5 / (k * T^2) here, 0.025 for their five classes. A class that the batch lacks does not
    count.

    Raises
    ------
    ValueError : a temperature out of 0.1 to 100.
    """

    temperature: float = 2.0

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def __call__(
        self,
        lesson: Lesson,
        adapters: nn.Module | None = None,  # noqa: ARG002
    ) -> Tensor:
        classes = lesson.logits.shape[1]
        truth = functional.one_hot(lesson.labels.flatten(), classes).float()
        count = truth.sum(0)
        shares = truth / count.clamp_min(1)
        own, aim = (
            torch.log_softmax(shares.T @ _voxels(logits) / self.temperature, dim=1)
            for logits in both_log_probabilities(lesson)
        )
        there_and_back = divergence(aim.exp(), own) + (own.exp() * (own - aim)).sum(1)
        return self.temperature**2 * ((count > 0) * there_and_back).sum() / 2


def _voxels(values: Tensor) -> Tensor:
    """[voxels of the whole batch, k] of [n, k, ...]."""
    return values.movedim(1, -1).flatten(0, -2)
