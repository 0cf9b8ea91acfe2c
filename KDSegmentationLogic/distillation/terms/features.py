"""What the terms share that compare a layer of the student with the same layer of a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.base import Term


@dataclass(frozen=True)
class FeatureTerm(Term):
    """A sum over layers; each is the mean over the samples of the batch.

    layers : names as in ``SegmentationNetwork.layers``, of both networks. Where the student's
        features have another size than the teacher's, they are interpolated linearly to it;
        the channels may differ.

    Raises
    ------
    ValueError : no layer, or one that is named twice.
    """

    reads_features: ClassVar[bool] = True
    layers: tuple[str, ...] = ("last",)

    def __post_init__(self) -> None:
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise ValueError("name at least one layer, and each once")

    def compare(
        self, student: Tensor, teacher: Tensor, labels: Tensor, adapter: nn.Module | None
    ) -> Tensor:
        """Of one layer: float32 [n, c, ...] and [n, d, ...] of one size, labels [n, ...]."""
        raise NotImplementedError

    def __call__(self, lesson: Lesson, adapters: nn.Module | None = None) -> Tensor:
        total = lesson.logits.new_zeros((), dtype=torch.float32)
        for name, student, teacher in pairs(lesson, self.layers):
            adapter = adapters[name] if isinstance(adapters, nn.ModuleDict) else None
            student = resized(student, tuple(teacher.shape[2:]))
            total = total + self.compare(student, teacher, lesson.labels, adapter)
        return total


def pairs(lesson: Lesson, layers: tuple[str, ...]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, student's and teacher's features in full precision; the teacher's are cut off.

    Raises
    ------
    ValueError : a layer was not read, or one network's is of slices and the other's of volumes.
    """
    for name in layers:
        if name not in lesson.features or name not in lesson.teacher_features:
            raise ValueError(f"this lesson lacks the features of the layer {name}")
        student, teacher = lesson.features[name], lesson.teacher_features[name]
        if student.dim() != teacher.dim() or len(student) != len(teacher):
            raise ValueError(
                f"the layer {name} has the shape {list(student.shape)} in the student and "
                f"{list(teacher.shape)} in the teacher"
            )
        yield name, student.float(), teacher.detach().float()


def resized(features: Tensor, size: tuple[int, ...]) -> Tensor:
    """[n, c, ...] interpolated linearly to another size."""
    if tuple(features.shape[2:]) == size:
        return features
    mode = {2: "bilinear", 3: "trilinear"}[len(size)]
    return functional.interpolate(features, size=size, mode=mode, align_corners=False)


def pooled(values: Tensor, size: tuple[int, ...]) -> Tensor:
    """Means of [n, c, ...] over as many cells as ``size`` says."""
    pools: dict[int, Any] = {
        2: functional.adaptive_avg_pool2d,
        3: functional.adaptive_avg_pool3d,
    }
    result: Tensor = pools[len(size)](values, size)
    return result


def unit(vectors: Tensor, dim: int, eps: float = 1e-5) -> Tensor:
    """Vectors along ``dim`` at length one; shorter than ``eps``, they are divided by it.

    Large ones are scaled down first, so that their squares do not overflow.
    """
    largest = vectors.detach().abs().amax(dim, keepdim=True).clamp_min(1)
    scaled = vectors / largest
    return scaled / torch.linalg.vector_norm(scaled, dim=dim, keepdim=True).clamp_min(eps)


def class_shares(labels: Tensor, classes: int, size: tuple[int, ...]) -> Tensor:
    """How much of each voxel of a layer belongs to each class: float32 [n, classes, ...].

    A share and not the nearest label, so that a structure of one voxel is still there in a
    layer of a quarter of the resolution.
    """
    truth = functional.one_hot(labels, classes).movedim(-1, 1).float()
    return truth if tuple(truth.shape[2:]) == size else pooled(truth, size)


def region_means(features: Tensor, shares: Tensor, cells: int = 1) -> tuple[Tensor, Tensor]:
    """Mean feature of each region, and whether there is any of it.

    Parameters
    ----------
    features : [n, c, ...]. shares : what of a voxel belongs to each class, [n, k, ...].
    cells : each axis is cut into this many parts; a region is a class within one cell.

    Returns
    -------
    [n, r, c] and bool [n, r], with r = k * cells ** dimensions; the mean of no voxel is 0.
    """
    parts = [torch.arange(size).tensor_split(min(cells, size)) for size in features.shape[2:]]
    means, sizes = [], []
    for cell in product(*parts):
        inside: Any = (..., *(slice(int(part[0]), int(part[-1]) + 1) for part in cell))
        share = shares[inside].flatten(2)
        size = share.sum(2)
        total = torch.einsum("ncv,nkv->nkc", features[inside].flatten(2), share)
        means.append(total / size.clamp_min(1e-12).unsqueeze(2))
        sizes.append(size)
    return torch.cat(means, 1), torch.cat(sizes, 1) > 0


def affinities(means: Tensor) -> Tensor:
    """Cosines [n, r, r] between the regions of each sample, of [n, r, c]."""
    directions = unit(means, 2)
    return directions @ directions.transpose(1, 2)


def both(present: Tensor) -> Tensor:
    """Float32 [n, r, r]: 1 for each pair of two different regions that are both there, once."""
    pair = present.unsqueeze(1) & present.unsqueeze(2)
    return pair.float().triu(diagonal=1)
