"""What the terms of single voxels promise beyond the catalogue, each against plain numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.distillation.catalogue import TERMS
from KDSegmentationLogic.distillation.lesson import Lesson

Term = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def mse_of_one_voxel(p: np.ndarray, q: np.ndarray) -> float:
    return float(sum((a - b) ** 2 for a, b in zip(p, q, strict=True)))


def kl_of_one_voxel(p: np.ndarray, q: np.ndarray) -> float:
    return float(sum(b * np.log(b / a) for a, b in zip(p, q, strict=True)))


REFERENCES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mse_probabilities": mse_of_one_voxel,
    "kl": kl_of_one_voxel,
}
"""The value at one voxel, of the student's and the teacher's probabilities [k]."""


def told(name: str) -> Term:
    """The term as a function of the student's logits and the teacher's probabilities alone."""
    term = TERMS[name]()

    def value(logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        return term(Lesson(logits, teacher.argmax(1), teacher))

    return value


each_term = pytest.mark.parametrize("term", [told(name) for name in REFERENCES], ids=REFERENCES)


def example(
    shape: tuple[int, ...] = (2, 3, 2, 3, 4), seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Student's logits and teacher's probabilities [n, k, ...]."""
    random = np.random.default_rng(seed)
    logits, teacher = (torch.from_numpy(2 * random.standard_normal(shape)).float() for _ in "st")
    return logits, torch.softmax(teacher, 1)


def voxels(tensor: torch.Tensor) -> torch.Tensor:
    """[voxels, k] of [n, k, ...]."""
    return tensor.movedim(1, -1).flatten(0, -2)


def gradient(term: Term, logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    logits = logits.clone().requires_grad_()
    term(logits, teacher).backward()
    assert logits.grad is not None
    return logits.grad


@pytest.mark.parametrize("name", REFERENCES)
@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(2, 5), st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 2**31),
)
def test_a_term_is_the_mean_over_voxels_of_its_reference(
    name: str, shape: tuple[int, ...], seed: int
) -> None:
    logits, teacher = example(shape, seed)
    powers = np.exp(voxels(logits).double().numpy())
    student = powers / powers.sum(axis=1, keepdims=True)

    expected = np.mean(
        [REFERENCES[name](p, q) for p, q in zip(student, voxels(teacher).numpy(), strict=True)]
    )
    assert float(told(name)(logits, teacher)) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@each_term
@pytest.mark.parametrize("shape", [(2, 2, 2, 2), (2, 2, 2, 2, 2), (3, 3, 3, 3, 3)])
def test_each_voxel_counts_alone_so_that_no_axis_is_taken_for_the_classes(
    term: Term, shape: tuple[int, ...]
) -> None:
    # with all axes of one length a softmax along a wrong one would fit, too
    logits, teacher = example(shape)
    pairs = zip(voxels(logits), voxels(teacher), strict=True)

    alone = [float(term(s.view(1, -1, 1, 1), t.view(1, -1, 1, 1))) for s, t in pairs]

    assert float(term(logits, teacher)) == pytest.approx(np.mean(alone), rel=1e-4)


@each_term
def test_a_student_that_agrees_with_its_teacher_costs_nothing(term: Term) -> None:
    logits, _ = example()

    assert float(term(logits, torch.softmax(logits, 1))) == pytest.approx(0, abs=1e-6)


@each_term
def test_a_student_that_disagrees_costs_something(term: Term) -> None:
    logits, teacher = example()

    assert float(term(logits, teacher)) > 0.05


@each_term
def test_the_order_of_the_classes_does_not_matter(term: Term) -> None:
    logits, teacher = example()
    order = [2, 0, 1]

    value = float(term(logits, teacher))

    assert float(term(logits[:, order], teacher[:, order])) == pytest.approx(value, rel=1e-5)
    assert float(term(logits[:, order], teacher)) != pytest.approx(value, rel=1e-2)


@each_term
def test_the_order_of_the_batch_does_not_matter(term: Term) -> None:
    logits, teacher = example((4, 3, 2, 3))
    order = [3, 1, 0, 2]

    value = float(term(logits, teacher))

    assert float(term(logits[order], teacher[order])) == pytest.approx(value, rel=1e-5)
    assert float(term(logits[order], teacher)) != pytest.approx(value, rel=1e-2)


@each_term
def test_classes_are_summed_so_one_that_nobody_sees_changes_nothing(term: Term) -> None:
    logits, teacher = example()
    nowhere = torch.full_like(logits[:, :1], -1e4)

    more = term(torch.cat([logits, nowhere], 1), torch.cat([teacher, 0 * nowhere], 1))

    assert float(more) == pytest.approx(float(term(logits, teacher)), rel=1e-5)


@each_term
def test_voxels_are_averaged_so_the_size_of_the_patch_does_not_matter(term: Term) -> None:
    logits, teacher = example()

    twice = term(torch.cat([logits, logits], -1), torch.cat([teacher, teacher], -1))

    assert float(twice) == pytest.approx(float(term(logits, teacher)), rel=1e-5)


@each_term
def test_the_gradient_reaches_every_logit_of_the_student_and_never_the_teacher(term: Term) -> None:
    logits, teacher = example()
    logits.requires_grad_()
    teacher.requires_grad_()

    term(logits, teacher).backward()

    assert teacher.grad is None
    assert logits.grad is not None
    assert bool((logits.grad != 0).all())


@each_term
def test_going_down_the_gradient_brings_the_student_to_the_teacher(term: Term) -> None:
    logits, teacher = example()
    before = float(term(logits, teacher))

    for _ in range(400):
        logits = logits - logits[0, 0].numel() * gradient(term, logits, teacher)

    assert float(term(logits, teacher)) < before / 10


@each_term
def test_the_gradient_is_that_of_finite_differences(term: Term) -> None:
    logits, teacher = example((1, 3, 2, 2))
    nudge = torch.zeros_like(logits)
    nudge[0, 1, 0, 1] = 1e-2

    slope = (term(logits + nudge, teacher) - term(logits - nudge, teacher)) / 2e-2

    exact = gradient(term, logits, teacher)[0, 1, 0, 1]
    assert float(slope) == pytest.approx(float(exact), abs=1e-4)


@each_term
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_full(term: Term, kind: torch.dtype) -> None:
    logits, teacher = (tensor.to(kind) for tensor in example())

    value = term(logits, teacher)

    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(term(logits.float(), teacher.float())), rel=1e-6)


@each_term
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_saturated_logits_and_a_certain_teacher_stay_finite(term: Term, size: float) -> None:
    logits = size * torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]]).view(2, 3, 1, 1)
    teacher = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]).view(2, 3, 1, 1)

    assert bool(term(logits, teacher).isfinite())
    assert bool(gradient(term, logits, teacher).isfinite().all())


@each_term
def test_slices_are_taken_like_volumes(term: Term) -> None:
    logits, teacher = example((2, 3, 4, 5, 6))
    slices, slices_teacher = logits.movedim(2, 1).flatten(0, 1), teacher.movedim(2, 1).flatten(0, 1)

    assert float(term(slices, slices_teacher)) == pytest.approx(float(term(logits, teacher)))
