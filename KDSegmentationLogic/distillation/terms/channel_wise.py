"""Where in the image a class is most probable: channel-wise distillation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.base import Term
from KDSegmentationLogic.distillation.terms.softening import check_temperature, divergence


@dataclass(frozen=True)
class ChannelWise(Term):
    """T^2 * KL(d_teacher || d_student): sum over classes, mean over the samples of the batch.

    CWD, Shu et al. 2021 (arXiv:2011.13256). d is the distribution of one class over the voxels
    of one sample, p^(1/T) divided by its sum: their softmax over voxels of logits / T, with the
    logarithm of the probability for the logit, because an ensemble has no logits. So it says
    where a structure is and not how much of it there is, and wants a loss on labels beside it.
    Averaged over classes, as in their code, a weight is k times this one. A class to which the
    teacher gives no probability anywhere in a sample does not count there.

    Raises
    ------
    ValueError : a temperature out of 0.1 to 100.
    """

    temperature: float = 4.0

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def __call__(
        self,
        lesson: Lesson,
        adapters: nn.Module | None = None,  # noqa: ARG002
    ) -> Tensor:
        aim = (lesson.soft ** (1 / self.temperature)).flatten(2)
        total = aim.sum(2, keepdim=True)
        aim = aim / total.clamp_min(1e-12)
        own = torch.log_softmax(lesson.logits.float(), dim=1).flatten(2) / self.temperature
        each = divergence(aim, torch.log_softmax(own, dim=2), dim=2)
        # without any teacher the distribution is all 0, and so is the divergence from it
        return self.temperature**2 * each.sum(1).mean()
