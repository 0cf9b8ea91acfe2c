"""What the terms on features promise: gradients, order, hard cases and settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from KDSegmentationLogic.distillation.catalogue import TERMS
from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.reading import FeatureReader, layer_channels
from KDSegmentationLogic.distillation.terms.attention import AttentionTransfer
from KDSegmentationLogic.distillation.terms.base import Term
from KDSegmentationLogic.distillation.terms.i2fv import PrototypeVariation
from KDSegmentationLogic.distillation.terms.masked_boundary import MaskedBoundary
from KDSegmentationLogic.distillation.terms.variation_graph import VariationGraph
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.training.losses import Objective
from Testing.distillation.feature_lessons import (
    ALL,
    adapters_of,
    each_relation,
    each_size,
    each_term,
    lesson,
    number,
    value,
)


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


@each_term
def test_dead_features_do_not_blow_up_the_gradient(term: Term) -> None:
    told = lesson()
    dead = {k: (0 * f.detach()).requires_grad_() for k, f in told.features.items()}

    value(term, replace(told, features=dead)).backward()

    assert all(float(dead[k].grad.abs().max()) < 1e5 for k in term.layers)  # type: ignore[attr-defined,union-attr]


# ---- settings


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", ALL)
def test_a_study_s_settings_teach_one_architecture_by_another(name: str, dimensions: int) -> None:
    torch.manual_seed(0)
    arguments = {"in_channels": 1, "classes": 3, "dimensions": dimensions}
    student, teacher = (
        build_network("student_unet", {**arguments, "widths": widths})
        for widths in ([4, 8], [6, 8, 10])
    )
    layers = ["bottleneck", "last"]
    objective = Objective({"dice": 1.0, name: {"weight": 0.5, "layers": layers}})
    assert objective.layers == ("bottleneck", "last")
    adapters = objective.adapters(
        layer_channels(student, layers), layer_channels(teacher, layers), dimensions
    )
    image = torch.randn(2, 1, *(16,) * dimensions)
    labels = (image[:, 0] > 0).long()

    with FeatureReader(student, layers) as own, FeatureReader(teacher, layers) as aims:
        with torch.no_grad():
            teacher(image)
        told = Lesson(student(image), labels, features=own.features, teacher_features=aims.features)
    total, parts = objective(told, adapters)
    total.backward()

    assert float(parts[name]) > 0
    first = next(student.parameters())
    assert first.grad is not None
    assert bool(first.grad.isfinite().all())


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
