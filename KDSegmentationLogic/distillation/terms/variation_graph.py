"""How the channels' activity changes from layer to layer, like in the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.features import FeatureTerm, pairs, pooled, unit


@dataclass(frozen=True)
class VariationGraph(FeatureTerm):
    """Mean over channels i, j of (G_student - G_teacher)^2 with G_ij = 1 - corr(a_i, b_j).

    Ours, after the idea of Graph Flow, Zou et al. 2022 (arXiv:2203.08667), whose formulas were
    not available: a graph of the channels' saliency between two layers. Here a_i is the mean of
    |f_i| in each cell of a coarse grid for a channel of one layer, b_j for one of the next in
    ``layers``; corr is their correlation over the cells, and the value is summed over pairs of
    neighbouring layers. A 1x1 convolution a layer, trained along, gives the student the
    teacher's number of channels; it starts as the identity where they are the same. The paper's
    paraphraser and adversary are not part of it, and none of its weights can be converted.

    grid : cells along an axis; fewer where a layer is smaller. A layer of a single voxel has no
    correlation with any, so that it teaches nothing.

    Raises
    ------
    ValueError : a single layer, or less than two cells.
    """

    layers: tuple[str, ...] = ("bottleneck", "last")
    grid: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.layers) < 2:
            raise ValueError("a graph between layers needs two of them")
        if self.grid < 2:
            raise ValueError("the grid needs two cells or more along an axis")

    def adapters(
        self, student: Mapping[str, int], teacher: Mapping[str, int], dimensions: int
    ) -> nn.Module:
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        made = {
            name: convolution(student[name], teacher[name], 1, bias=False) for name in self.layers
        }
        for name, module in made.items():
            if student[name] == teacher[name]:
                nn.init.dirac_(module.weight)
        return nn.ModuleDict(made)

    def __call__(self, lesson: Lesson, adapters: nn.Module | None = None) -> Tensor:
        if not isinstance(adapters, nn.ModuleDict):
            raise ValueError("the variation graph needs its adapters")
        found = list(pairs(lesson, self.layers))
        sizes = [features.shape[2:] for _, *both in found for features in both]
        grid = tuple(min(self.grid, *along) for along in zip(*sizes, strict=True))
        own = [_activity(adapters[name](student), grid) for name, student, _ in found]
        aims = [_activity(teacher, grid) for *_, teacher in found]
        errors = [
            (_graph(*between) - _graph(*aim)).square().mean()
            for between, aim in zip(pairwise(own), pairwise(aims), strict=True)
        ]
        return sum(errors[1:], start=errors[0])


def _activity(features: Tensor, grid: tuple[int, ...]) -> Tensor:
    """[n, c, cells], each channel centred and of length one."""
    cells = pooled(features.float().abs(), grid).flatten(2)
    return unit(cells - cells.mean(2, keepdim=True), 2)


def _graph(fine: Tensor, coarse: Tensor) -> Tensor:
    """The edges [n, c, d] from each channel of one layer to each of the next."""
    return 1 - fine @ coarse.transpose(1, 2)
