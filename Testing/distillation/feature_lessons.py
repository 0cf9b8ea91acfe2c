"""Lessons with features for the tests of the terms that compare layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.attention import AttentionTransfer
from KDSegmentationLogic.distillation.terms.base import Term
from KDSegmentationLogic.distillation.terms.i2fv import PrototypeVariation
from KDSegmentationLogic.distillation.terms.masked_boundary import MaskedBoundary
from KDSegmentationLogic.distillation.terms.region_affinity import RegionAffinity
from KDSegmentationLogic.distillation.terms.region_graph import RegionGraph
from KDSegmentationLogic.distillation.terms.variation_graph import VariationGraph

RELATIONS: dict[str, Term] = {
    "attention": AttentionTransfer(),
    "region_affinity": RegionAffinity(),
    "region_graph": RegionGraph(),
    "variation_graph": VariationGraph(),
    "i2fv": PrototypeVariation(),
}
"""Zero for a student that is its teacher; the generator of masked boundaries never gets there."""
ALL: dict[str, Term] = {**RELATIONS, "masked_boundary": MaskedBoundary(share=1.0)}
SIZES = [(6, 8), (4, 6, 5)]

each_term = pytest.mark.parametrize("term", list(ALL.values()), ids=list(ALL))
each_relation = pytest.mark.parametrize("term", list(RELATIONS.values()), ids=list(RELATIONS))
each_size = pytest.mark.parametrize("size", SIZES, ids=["slices", "volumes"])


def lesson(
    size: tuple[int, ...] = (6, 8),
    n: int = 3,
    channels: int = 4,
    of_teacher: int = 4,
    seed: int = 0,
) -> Lesson:
    """A student and another teacher on labels of three classes."""
    torch.manual_seed(seed)
    half = tuple(s // 2 for s in size)
    layers = {"last": size, "bottleneck": half}
    return Lesson(
        logits=torch.randn(n, 3, *size),
        labels=torch.randint(0, 3, (n, *size)),
        features={k: torch.randn(n, channels, *s, requires_grad=True) for k, s in layers.items()},
        teacher_features={
            k: torch.randn(n, of_teacher, *s, requires_grad=True) for k, s in layers.items()
        },
    )


def adapters_of(term: Term, told: Lesson) -> nn.Module | None:
    torch.manual_seed(1)
    student, teacher = (
        {k: f.shape[1] for k, f in of.items()} for of in (told.features, told.teacher_features)
    )
    return term.adapters(student, teacher, told.labels.dim() - 1)


def value(term: Term, told: Lesson, adapters: nn.Module | None = None) -> torch.Tensor:
    if adapters is None:
        adapters = adapters_of(term, told)
    torch.manual_seed(2)
    return term(told, adapters)


def number(term: Term, told: Lesson, adapters: nn.Module | None = None) -> float:
    return float(value(term, told, adapters).detach())


def with_last(student: Any, teacher: Any, labels: Any) -> Lesson:
    """A lesson of one layer from arrays [n, c, ...] and labels [n, ...]."""
    student, teacher = (torch.as_tensor(a, dtype=torch.float32) for a in (student, teacher))
    labels = torch.as_tensor(labels)
    logits = torch.zeros(len(labels), 3, *labels.shape[1:])
    return Lesson(logits, labels, features={"last": student}, teacher_features={"last": teacher})


def arrays(told: Lesson, layer: str = "last") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pair = (told.features[layer], told.teacher_features[layer])
    student, teacher = (f.detach().double().numpy() for f in pair)
    return student, teacher, told.labels.numpy()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
