"""Terms that compare one voxel with the same voxel, and where they are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.base import Term
from KDSegmentationLogic.distillation.terms.softening import log_probabilities

Where = Literal["all", "teacher_correct", "teacher_better", "boundary"]


@dataclass(frozen=True)
class VoxelTerm(Term):
    """Weighted mean over voxels of a value that is summed over classes.

    where : "all" voxels alike; "teacher_correct": those where the teacher's most probable
        class is the label; "teacher_better": of these, each by how much the student's
        cross-entropy is above the teacher's (both PMKL, Chen et al. 2022,
        doi:10.1109/TMI.2021.3119385, whose code multiplies the two); "boundary": those with
        another label among their 8 or 26 neighbours. The weights are not differentiated, and
        where they are all zero the term is zero.
    """

    where: Where = "all"

    def voxels(self, lesson: Lesson) -> Tensor:
        """The value at each voxel, float32 [n, ...]."""
        raise NotImplementedError

    def __call__(
        self,
        lesson: Lesson,
        adapters: nn.Module | None = None,  # noqa: ARG002
    ) -> Tensor:
        values = self.voxels(lesson)
        if self.where == "all":
            return values.mean()
        weights = weights_of(self.where, lesson)
        # divided first: of two huge numbers the product would be infinite
        return (weights / weights.sum().clamp_min(1e-12) * values).sum()


def boundary(labels: Tensor) -> Tensor:
    """Whether a voxel, [n, ...], has a neighbour of another label; diagonals count."""
    dimensions = labels.dim() - 1
    pool = {2: functional.max_pool2d, 3: functional.max_pool3d}[dimensions]
    given = labels.float().unsqueeze(1)
    highest = pool(given, 3, stride=1, padding=1)
    lowest = -pool(-given, 3, stride=1, padding=1)
    return (highest != lowest).squeeze(1)


def weights_of(where: Where, lesson: Lesson) -> Tensor:
    """Float32 [n, ...], cut off from any gradient."""
    if where == "boundary":
        return boundary(lesson.labels).float()
    teacher = lesson.soft
    correct = (teacher.argmax(1) == lesson.labels).float()
    if where == "teacher_correct":
        return correct
    student = functional.cross_entropy(
        lesson.logits.detach().float(), lesson.labels, reduction="none"
    )
    right = log_probabilities(teacher.gather(1, lesson.labels.unsqueeze(1)).squeeze(1))
    return correct * functional.relu(student + right)
