"""Kullback-Leibler divergence at the border of each structure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.base import Term
from KDSegmentationLogic.distillation.terms.softening import check_temperature, divergence, soften
from KDSegmentationLogic.distillation.terms.voxelwise import Where, boundary, weights_of


@dataclass(frozen=True)
class BoundaryKL(Term):
    """Sum over classes of the mean over that class's border of T^2 * KL(teacher_T || student_T).

    After the boundary distillation of ACF-BCKD (github.com/605671435/ACF-BCKD), with T = 1. The
    border of a class are the voxels with some but not only that class among themselves and
    their 8 or 26 neighbours, on either side; background is a class, too. As each class has a
    mean of its own, the border of a small structure counts as much as that of a large one, and
    a class without a border in the batch not at all: that is ours, their normalisation is not
    documented, so no weight is converted. ``where`` weighs the voxels of a border as in
    ``VoxelTerm``. ``kl`` with ``where: boundary`` counts each voxel of any border once.

    Raises
    ------
    ValueError : a temperature out of 0.1 to 100.
    """

    temperature: float = 1.0
    where: Where = "all"

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def __call__(
        self,
        lesson: Lesson,
        adapters: nn.Module | None = None,  # noqa: ARG002
    ) -> Tensor:
        log_student = torch.log_softmax(lesson.logits.float() / self.temperature, dim=1)
        each = divergence(soften(lesson.soft, self.temperature), log_student)
        classes = lesson.logits.shape[1]
        truth = functional.one_hot(lesson.labels, classes).movedim(-1, 1)
        # where class or no class changes; of all classes at once, as if they were samples
        borders = boundary(truth.flatten(0, 1)).unflatten(0, truth.shape[:2]).float()
        if self.where != "all":
            borders = borders * weights_of(self.where, lesson).unsqueeze(1)
        axes = (0, *range(2, truth.dim()))
        total, count = (borders * each.unsqueeze(1)).sum(axes), borders.sum(axes)
        return self.temperature**2 * (total / count.clamp_min(1e-12)).sum()
