"""A graph of the regions of an image, whose edges the student's layer has like the teacher's."""

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
class RegionGraph(FeatureTerm):
    """Mean over edges of (cos(m_a, m_b)_student - cos(m_a, m_b)_teacher)^2.

    Ours, after the idea of MSKD's region graph distillation, Zhao et al. 2023
    (doi:10.1016/j.compbiomed.2023.107284), whose formulas are not public: the student keeps the
    relations of the teacher's regions. Here a node is what of one class lies in one cell of a
    coarse grid, m its mean feature, and an edge joins any two nodes of a sample; so the graph
    says how a structure changes from place to place, too. MSKD's feature filtering is not
    part of it, and no weight of that paper can be converted. With one cell the edges are those
    of the region affinity, averaged instead of summed.

    cells : each axis is cut into this many parts.

    Raises
    ------
    ValueError : less than one cell.
    """

    cells: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cells < 1:
            raise ValueError("there must be at least one cell along an axis")

    def compare(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: Tensor,
        adapter: nn.Module | None,  # noqa: ARG002
    ) -> Tensor:
        shares = class_shares(labels, int(labels.max()) + 1, tuple(teacher.shape[2:]))
        means, present = region_means(student, shares, self.cells)
        aims, _ = region_means(teacher, shares, self.cells)
        edges = both(present)
        error = edges * (affinities(means) - affinities(aims)).square()
        return (error.sum((1, 2)) / edges.sum((1, 2)).clamp_min(1)).mean()
