"""What each term on features promises, against plain numpy written from its formula."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from KDSegmentationLogic.distillation.catalogue import TERMS
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


# ---- against numpy


def attention_reference(told: Lesson) -> float:
    def map_of(features: np.ndarray) -> np.ndarray:
        attention = (np.abs(features) ** 4).mean(axis=0).ravel()
        return attention / np.linalg.norm(attention)

    students, teachers, _ = arrays(told)
    pairs = zip(students, teachers, strict=True)
    return float(np.mean([((map_of(s) - map_of(t)) ** 2).sum() for s, t in pairs]))


def edges(features: np.ndarray, nodes: list[np.ndarray]) -> np.ndarray:
    """Cosines of all pairs of nodes, each a mask, of one sample [c, ...]."""
    means = [features[:, node].mean(axis=1) for node in nodes]
    return np.array([cosine(a, b) for a, b in combinations(means, 2)])


def region_affinity_reference(told: Lesson) -> float:
    total = []
    for student, teacher, labels in zip(*arrays(told), strict=True):
        nodes = [labels == k for k in np.unique(labels)]
        total.append(((edges(student, nodes) - edges(teacher, nodes)) ** 2).sum())
    return float(np.mean(total))


def region_graph_reference(told: Lesson) -> float:
    total = []
    for student, teacher, labels in zip(*arrays(told), strict=True):
        axes = [np.array_split(np.arange(size), 2) for size in labels.shape]
        nodes = []
        for cell, k in product(product(*axes), range(3)):
            inside = np.zeros(labels.shape, bool)
            inside[np.ix_(*cell)] = True
            if (inside & (labels == k)).any():
                nodes.append(inside & (labels == k))
        total.append(((edges(student, nodes) - edges(teacher, nodes)) ** 2).mean())
    return float(np.mean(total))


def i2fv_reference(told: Lesson) -> float:
    def maps(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        prototype = features[:, mask].mean(axis=1)
        return np.array([cosine(f, prototype) for f in features.reshape(len(features), -1).T])

    total = []
    for student, teacher, labels in zip(*arrays(told), strict=True):
        masks = [labels == k for k in np.unique(labels)]
        total.append(sum(((maps(student, m) - maps(teacher, m)) ** 2).mean() for m in masks))
    return float(np.mean(total))


REFERENCES = {
    "attention": attention_reference,
    "region_affinity": region_affinity_reference,
    "region_graph": region_graph_reference,
    "i2fv": i2fv_reference,
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("seed", range(2))
@each_size
def test_a_term_on_features_is_its_reference(name: str, seed: int, size: tuple[int, ...]) -> None:
    told = lesson(size, of_teacher=5, seed=seed)

    assert number(ALL[name], told) == pytest.approx(REFERENCES[name](told), rel=1e-4)


def test_the_variation_graph_is_its_reference() -> None:
    told = lesson((4, 4, 4), channels=2, of_teacher=3)
    term = VariationGraph(grid=2)
    adapters = adapters_of(term, told)
    assert isinstance(adapters, nn.ModuleDict)

    def cells(features: np.ndarray) -> np.ndarray:
        # of one sample [c, z, y, x]: two cells an axis
        z, y, x = (size // 2 for size in features.shape[1:])
        blocks = np.abs(features).reshape(len(features), 2, z, 2, y, 2, x)
        return blocks.mean(axis=(2, 4, 6)).reshape(len(features), -1)

    def graph(coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
        return np.array([[1 - np.corrcoef(a, b)[0, 1] for b in cells(fine)] for a in cells(coarse)])

    found = {}
    for name in term.layers:
        student, teacher, _ = arrays(told, name)
        weight = adapters.get_parameter(f"{name}.weight").detach().double().numpy().reshape(3, 2)
        found[name] = (np.einsum("dc,nc...->nd...", weight, student), teacher)
    (deep, deep_aim), (last, last_aim) = (found[name] for name in ("bottleneck", "last"))
    expected = np.mean(
        [(graph(deep[i], last[i]) - graph(deep_aim[i], last_aim[i])) ** 2 for i in range(len(deep))]
    )

    assert number(term, told, adapters) == pytest.approx(float(expected), rel=1e-4)


def test_masked_boundaries_are_hidden_from_the_generator_and_nothing_else_is() -> None:
    labels = np.zeros((1, 1, 8), int)
    labels[..., 4:] = 1
    random = np.random.default_rng(0)
    student, teacher = random.standard_normal((2, 1, 2, 1, 8))
    told = with_last(student, teacher, labels)
    term = MaskedBoundary(share=1.0, radius=1)
    copy = nn.Conv2d(2, 2, 1, bias=False)
    nn.init.dirac_(copy.weight)

    # voxels 3 and 4 touch the border; what a generator that copies makes of them is zero
    student[..., 3:5] = 0
    aim = teacher / np.sqrt((teacher**2).mean())
    expected = ((student - aim) ** 2).mean()

    assert number(term, told, nn.ModuleDict({"last": copy})) == pytest.approx(expected, rel=1e-5)


def test_masked_boundaries_hide_the_given_share_within_the_given_radius() -> None:
    labels = np.zeros((1, 40, 40), int)
    labels[..., 20:] = 1
    told = with_last(np.ones((1, 1, 40, 40)), np.ones((1, 1, 40, 40)), labels)
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x

    torch.manual_seed(0)
    MaskedBoundary(share=0.5, radius=3)(told, nn.ModuleDict({"last": Spy()}))

    hidden = seen[0][0, 0] == 0
    assert hidden.any(0).nonzero().flatten().tolist() == list(range(17, 23))
    assert float(hidden[:, 17:23].float().mean()) == pytest.approx(0.5, abs=0.1)


# ---- identical, gradients, order


@each_relation
@each_size
def test_features_like_the_teacher_s_cost_nothing(term: Term, size: tuple[int, ...]) -> None:
    told = lesson(size)
    same = replace(told, features=dict(told.teacher_features))

    assert number(term, told) > 1e-3
    assert number(term, same) == pytest.approx(0, abs=1e-6)


@each_term
@each_size
def test_the_gradient_reaches_each_feature_of_the_student_and_never_the_teacher(
    term: Term, size: tuple[int, ...]
) -> None:
    told = lesson(size, channels=3, of_teacher=5)
    # without a border nothing is masked, and so every feature is seen by the generator
    told = replace(told, labels=told.labels * 0) if isinstance(term, MaskedBoundary) else told

    value(term, told).backward()

    for name in term.layers:  # type: ignore[attr-defined]
        grad = told.features[name].grad
        assert grad is not None
        assert bool((grad != 0).flatten(2).any(2).all())
        assert float((grad != 0).float().mean()) > 0.9
    assert all(f.grad is None for f in told.teacher_features.values())


@pytest.mark.parametrize("term", [VariationGraph(), MaskedBoundary()])
def test_every_parameter_of_an_adapter_is_trained(term: Term) -> None:
    told = lesson(channels=3, of_teacher=5)
    adapters = adapters_of(term, told)
    assert adapters is not None

    value(term, told, adapters).backward()

    for parameter in adapters.parameters():
        assert parameter.grad is not None
        assert bool((parameter.grad != 0).any())


@each_term
def test_the_order_of_the_samples_does_not_matter(term: Term) -> None:
    told = lesson()
    adapters = adapters_of(term, told)
    order = torch.tensor([2, 0, 1])
    turned = Lesson(
        told.logits[order],
        told.labels[order],
        features={k: f[order] for k, f in told.features.items()},
        teacher_features={k: f[order] for k, f in told.teacher_features.items()},
    )

    expected = number(term, told, adapters)
    assert number(term, turned, adapters) == pytest.approx(expected, rel=1e-5)


@each_term
def test_a_sample_counts_the_same_alone_as_in_a_batch(term: Term) -> None:
    told = lesson()
    adapters = adapters_of(term, told)
    alone = [
        Lesson(
            told.logits[i : i + 1],
            told.labels[i : i + 1],
            features={k: f[i : i + 1] for k, f in told.features.items()},
            teacher_features={k: f[i : i + 1] for k, f in told.teacher_features.items()},
        )
        for i in range(3)
    ]

    mean = np.mean([number(term, one, adapters) for one in alone])
    assert number(term, told, adapters) == pytest.approx(mean, rel=1e-4)


# ---- hard cases


def is_finite(term: Term, told: Lesson) -> bool:
    result = value(term, told)
    result.backward()
    grads = [f.grad for f in told.features.values() if f.grad is not None]
    return bool(grads) and all(bool(t.isfinite().all()) for t in (result, *grads))


@each_term
@pytest.mark.parametrize("foreground", [0, 1])
def test_an_empty_class_and_one_of_one_voxel_are_finite(term: Term, foreground: int) -> None:
    told = lesson()
    labels = torch.zeros_like(told.labels)
    labels[:, 1, 1] = foreground

    assert is_finite(term, replace(told, labels=labels))


@each_term
@pytest.mark.parametrize("size", [0.0, 1e-20, 1e20])
def test_dead_and_saturated_features_are_finite(term: Term, size: float) -> None:
    told = lesson()
    features = {k: (size * f.detach()).requires_grad_() for k, f in told.features.items()}
    if isinstance(term, MaskedBoundary) and size > 1:
        features = {k: (f.detach() / 1e5).requires_grad_() for k, f in features.items()}

    assert is_finite(term, replace(told, features=features))
    told = replace(told, teacher_features={k: size * f for k, f in told.teacher_features.items()})
    assert bool(value(term, told).isfinite())


@each_term
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_features_of_half_precision_are_compared_in_full(term: Term, kind: torch.dtype) -> None:
    told = lesson()
    half = {k: f.detach().to(kind) for k, f in told.features.items()}
    aims = {k: f.detach().to(kind) for k, f in told.teacher_features.items()}
    full = [{k: f.float() for k, f in of.items()} for of in (half, aims)]

    result = value(term, replace(told, features=half, teacher_features=aims))

    assert result.dtype == torch.float32
    expected = value(term, replace(told, features=full[0], teacher_features=full[1]))
    assert float(result.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)


@each_term
@each_size
def test_a_teacher_of_another_resolution_and_more_channels_is_followed(
    term: Term, size: tuple[int, ...]
) -> None:
    told = lesson(size, channels=3, of_teacher=7)
    finer = {
        k: torch.randn(3, 7, *(s + 1 for s in f.shape[2:]))
        for k, f in told.teacher_features.items()
    }
    told = replace(told, teacher_features=finer)

    assert is_finite(term, told)


def test_a_class_counts_for_the_samples_that_have_it_though_another_lacks_it() -> None:
    told = lesson(n=2)
    labels = told.labels.clone()
    labels[1][labels[1] == 2] = 0
    told = replace(told, labels=labels)

    assert number(PrototypeVariation(), told) == pytest.approx(i2fv_reference(told), rel=1e-4)


def test_the_prototypes_of_the_student_are_differentiated() -> None:
    told = lesson(n=1)
    student = told.features["last"]
    value(PrototypeVariation(), told).backward()
    assert student.grad is not None
    nudge = torch.zeros_like(student)
    nudge[0, 1, 2, 3] = 1e-2

    def at(features: torch.Tensor) -> float:
        return number(PrototypeVariation(), replace(told, features={"last": features}))

    # a prototype that is taken as fixed has another slope
    with torch.no_grad():
        slope = (at(student + nudge) - at(student - nudge)) / 2e-2
    assert slope == pytest.approx(float(student.grad[0, 1, 2, 3]), abs=2e-5)


@pytest.mark.parametrize("name", ["i2fv", "region_affinity", "region_graph", "attention"])
def test_the_scale_of_either_s_features_does_not_matter(name: str) -> None:
    told = lesson()
    scaled = replace(told, features={k: 7 * f for k, f in told.features.items()})

    assert number(ALL[name], scaled) == pytest.approx(number(ALL[name], told), rel=1e-4)


def test_masked_boundaries_cost_the_same_for_a_teacher_of_another_scale() -> None:
    told = lesson()
    louder = {k: 50 * f for k, f in told.teacher_features.items()}
    term = MaskedBoundary(share=1.0)

    expected = number(term, told)
    assert number(term, replace(told, teacher_features=louder)) == pytest.approx(expected)


def test_a_structure_of_one_voxel_is_still_a_region_of_a_coarse_layer() -> None:
    told = lesson((8, 8), n=1)
    labels = torch.zeros_like(told.labels)
    labels[0, 5, 5] = 1
    term = RegionAffinity(layers=("bottleneck",))
    student, teacher, _ = arrays(told, "bottleneck")

    def affinity(features: np.ndarray) -> float:
        flat, at = features[0].reshape(4, -1), 2 * 4 + 2
        shares = np.ones(16)
        shares[at] = 3 / 4
        return cosine((flat * shares).sum(1), flat[:, at])

    expected = (affinity(student) - affinity(teacher)) ** 2
    assert number(term, replace(told, labels=labels)) == pytest.approx(expected, rel=1e-4)


# ---- settings


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("attention", {"power": 0.5}),
        ("region_graph", {"cells": 0}),
        ("variation_graph", {"layers": ("last",)}),
        ("variation_graph", {"grid": 1}),
        ("masked_boundary", {"share": 0.0}),
        ("masked_boundary", {"radius": 0}),
        ("i2fv", {"layers": ()}),
        ("region_affinity", {"layers": ("last", "last")}),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|at least|needs"):
        TERMS[name](**settings)


@each_term
def test_a_layer_that_was_not_read_is_refused_by_name(term: Term) -> None:
    told = lesson()
    adapters = adapters_of(term, told)

    with pytest.raises(ValueError, match=r"last|bottleneck"):
        term(replace(told, teacher_features={}), adapters)


@each_term
def test_a_teacher_of_slices_is_no_teacher_of_volumes_layers(term: Term) -> None:
    told = lesson((4, 6, 5))
    adapters = adapters_of(term, told)

    with pytest.raises(ValueError, match="shape"):
        term(replace(told, teacher_features=lesson((6, 5)).teacher_features), adapters)


def test_layers_are_summed() -> None:
    told = lesson()
    each = [number(AttentionTransfer(layers=(k,)), told) for k in ("last", "bottleneck")]

    both = value(AttentionTransfer(layers=("last", "bottleneck")), told)
    assert float(both.detach()) == pytest.approx(sum(each), rel=1e-5)
