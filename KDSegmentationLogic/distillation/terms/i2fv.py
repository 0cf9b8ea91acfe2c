"""How far each voxel is from its class's prototype: ProtoKD's feature variation maps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from KDSegmentationLogic.distillation.terms.features import (
    FeatureTerm,
    class_shares,
    region_means,
    unit,
)


@dataclass(frozen=True)
class PrototypeVariation(FeatureTerm):
    """Sum over classes, mean over voxels, of (cos(f, p_k)_student - cos(f, p_k)_teacher)^2.

    ProtoKD, Wang et al. 2023 (arXiv:2303.09830): the intra-class and inter-class feature
    variation. p_k is the mean feature of the voxels labelled k, background too, of each sample
    alone; the cosine is taken at every voxel. The gradient goes through the student's
    prototypes, too. A class counts only for the samples that have it; the released code drops
    it for the whole batch if one sample lacks it. It also averages over the classes, so its
    weight of 0.1 is 0.1 / k here, 0.025 for BraTS.
    """

    def compare(
        self,
        student: Tensor,
        teacher: Tensor,
        labels: Tensor,
        adapter: nn.Module | None,  # noqa: ARG002
    ) -> Tensor:
        shares = class_shares(labels, int(labels.max()) + 1, tuple(teacher.shape[2:]))
        maps, present = _variation(student, shares)
        aims, _ = _variation(teacher, shares)
        error = (maps - aims).square().mean(2)
        return (present * error).sum(1).mean()


def _variation(features: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines [n, k, voxels], and which classes there are, [n, k]."""
    prototypes, present = region_means(features, shares)
    directions = unit(features.flatten(2), 1)
    return torch.einsum("nkc,ncv->nkv", unit(prototypes, 2), directions), present
