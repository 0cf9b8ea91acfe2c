"""How alike the classes look to a layer: the student's affinities follow the teacher's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from KDSegmentationLogic.distillation.terms.features import (
    FeatureTerm,
    affinities,
    both,
    class_shares,
    region_means,
)


@dataclass(frozen=True)
class RegionAffinity(FeatureTerm):
    """Sum over pairs of classes of (cos(m_i, m_j)_student - cos(m_i, m_j)_teacher)^2.

    m_i is the mean feature of the voxels labelled i, of each sample alone. For two classes this
    is the region affinity distillation of EMKD, Qin et al. 2021 (arXiv:2108.09987), whose
    weight, 0.9 for the sum over a low and a high layer, stays as it is. The sum over pairs for
    more classes is ours, and so is that a pair is left out of a sample that lacks either of
    them, and that a coarse layer takes the share of each class in a voxel.
    """

    def compare(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: Tensor,
        adapter: nn.Module | None,  # noqa: ARG002
    ) -> Tensor:
        shares = class_shares(labels, int(labels.max()) + 1, tuple(teacher.shape[2:]))
        means, present = region_means(student, shares)
        aims, _ = region_means(teacher, shares)
        error = (affinities(means) - affinities(aims)).square()
        return (both(present) * error).sum((1, 2)).mean()
