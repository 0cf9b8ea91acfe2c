"""The terms on logits that look beyond one voxel: against plain numpy, and in hard cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from KDSegmentationLogic.distillation.catalogue import TERMS
from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.boundary_kl import BoundaryKL
from KDSegmentationLogic.training.quantised import decode_probabilities, encode_probabilities
from Testing.distillation import feature_lessons, test_distillation_terms

SIZES = [(2, 3, 4, 5), (2, 3, 4, 5, 3), (3, 3, 3, 3, 3)]
"""Slices, volumes, and one in which a wrong axis would not be noticed by its length."""


def lesson(shape: tuple[int, ...] = (2, 3, 5, 6), seed: int = 0) -> Lesson:
    random = np.random.default_rng(seed)
    logits, teacher = (torch.from_numpy(random.standard_normal(shape)).float() for _ in "st")
    labels = torch.from_numpy(random.integers(0, shape[1], (shape[0], *shape[2:])))
    return Lesson(logits, labels, torch.softmax(teacher, 1))


# ---- references, with loops over voxels and classes


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def kl(q: np.ndarray, p: np.ndarray) -> float:
    return float((q * np.log(q / p)).sum())


def voxels(values: np.ndarray) -> np.ndarray:
    """[all voxels, k]"""
    return np.moveaxis(values, 1, -1).reshape(-1, values.shape[1])


def standardised(s: np.ndarray, q: np.ndarray, labels: np.ndarray) -> float:  # noqa: ARG001
    def z(values: np.ndarray) -> np.ndarray:
        return (values - values.mean()) / values.std(ddof=1)

    return float(
        np.mean([4 * kl(softmax(z(np.log(b)) / 2), softmax(z(a) / 2)) for a, b in pairs(s, q)])
    )


def pairs(s: np.ndarray, q: np.ndarray) -> Any:
    return zip(voxels(s), voxels(q), strict=True)


def channel_wise(s: np.ndarray, q: np.ndarray, labels: np.ndarray) -> float:
    p = np.moveaxis(np.array([softmax(v) for v in voxels(s)]).reshape((*labels.shape, -1)), -1, 1)
    total = 0.0
    for i, k in product(range(s.shape[0]), range(s.shape[1])):
        total += 16 * kl(softmax(np.log(q[i, k]) / 4), softmax(np.log(p[i, k]) / 4))
    return total / s.shape[0]


def dist(s: np.ndarray, q: np.ndarray, labels: np.ndarray) -> float:  # noqa: ARG001
    p = np.array([softmax(v / 4) for v in voxels(s)])
    t = np.array([softmax(np.log(v) / 4) for v in voxels(q)])
    between = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p, t, strict=True)])
    within = sum(1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, t.T, strict=True))
    return float(16 * (between + within))


def boundary_kl(s: np.ndarray, q: np.ndarray, labels: np.ndarray) -> float:
    total = 0.0
    for k in range(s.shape[1]):
        found = []
        for place in np.ndindex(labels.shape):
            n, where = place[0], place[1:]
            near = tuple(slice(max(x - 1, 0), x + 2) for x in where)
            inside = labels[(n, *near)] == k
            if inside.any() and not inside.all():
                here = (n, slice(None), *where)
                found.append(kl(q[here], softmax(s[here])))
        total += np.mean(found) if found else 0.0
    return float(total)


def class_affinity(s: np.ndarray, q: np.ndarray, labels: np.ndarray) -> float:
    total = 0.0
    for k in range(s.shape[1]):
        inside = labels.ravel() == k
        if inside.any():
            b = softmax(voxels(s)[inside].mean(0) / 2)
            a = softmax(np.log(voxels(q)[inside]).mean(0) / 2)
            total += 4 * (kl(a, b) + kl(b, a)) / 2
    return total


REFERENCES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "kl_standardised": standardised,
    "channel_wise": channel_wise,
    "dist": dist,
    "boundary_kl": boundary_kl,
    "class_affinity": class_affinity,
}
each_term = pytest.mark.parametrize("name", REFERENCES)


def value(name: str, told: Lesson, **changes: Any) -> torch.Tensor:
    return TERMS[name]()(replace(told, **changes))


def gradient(name: str, told: Lesson) -> torch.Tensor:
    logits = told.logits.clone().requires_grad_()
    value(name, told, logits=logits).backward()
    assert logits.grad is not None
    return logits.grad


def test_every_term_of_the_catalogue_has_its_tests() -> None:
    tested = {*REFERENCES, *test_distillation_terms.REFERENCES, *feature_lessons.ALL, "deviation"}

    assert set(TERMS) == tested


@each_term
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_a_term_is_what_its_formula_says(name: str, shape: tuple[int, ...]) -> None:
    told = lesson(shape)
    assert told.teacher is not None

    expected = REFERENCES[name](
        told.logits.double().numpy(), told.teacher.double().numpy(), told.labels.numpy()
    )

    assert expected > 0.01
    assert float(value(name, told)) == pytest.approx(expected, rel=1e-4)


@each_term
def test_a_student_that_agrees_with_its_teacher_costs_nothing(name: str) -> None:
    told = lesson()

    agreed = value(name, told, teacher=torch.softmax(told.logits, 1))

    assert float(agreed) == pytest.approx(0, abs=1e-4)
    assert float(value(name, told)) > 0.05


@each_term
@pytest.mark.parametrize("size", [5, 10, 20])
def test_a_sure_student_that_agrees_with_its_teacher_costs_nothing(name: str, size: float) -> None:
    told = lesson()
    sure, unsure = size * told.logits, size * told.logits + torch.randn_like(told.logits)
    teacher = torch.softmax(sure, 1)

    agreed, apart = (float(value(name, told, logits=v, teacher=teacher)) for v in (sure, unsure))

    assert abs(agreed) < max(0.01 * apart, 1e-5)


@pytest.mark.parametrize("name", [*REFERENCES, "kl"])
def test_a_stored_teacher_teaches_what_an_exact_one_does(name: str) -> None:
    told = lesson((4, 3, 8, 8))
    sure = 6 * told.logits
    exact = torch.softmax(sure, 1)
    stored = torch.from_numpy(decode_probabilities(encode_probabilities(exact.numpy())))
    term = TERMS[name]() if name != "kl" else TERMS[name](temperature=4.0)
    student = sure + torch.randn_like(sure)

    costs = [float(term(replace(told, logits=student, teacher=t))) for t in (exact, stored)]

    assert costs[1] == pytest.approx(costs[0], rel=0.01)
    assert float(term(replace(told, logits=sure, teacher=stored))) < 0.01 * costs[0]


@each_term
def test_the_gradient_reaches_the_student_at_every_voxel_and_never_the_teacher(name: str) -> None:
    told = lesson()
    logits, teacher = told.logits.requires_grad_(), told.soft.requires_grad_()

    value(name, told, logits=logits, teacher=teacher).backward()

    assert teacher.grad is None
    assert logits.grad is not None
    assert float((logits.grad != 0).float().mean()) > 0.95


@each_term
def test_going_down_the_gradient_brings_the_student_to_the_teacher(name: str) -> None:
    told = lesson()
    logits = told.logits.clone().requires_grad_()
    before = float(value(name, told))
    optimiser = torch.optim.Adam([logits], lr=0.05)

    for _ in range(150):
        optimiser.zero_grad()
        value(name, told, logits=logits).backward()
        optimiser.step()

    assert float(value(name, told, logits=logits.detach())) < before / 20


@each_term
def test_neither_the_order_of_the_batch_nor_that_of_the_classes_matters(name: str) -> None:
    told = lesson((4, 3, 3, 4))
    batch, classes = torch.tensor([3, 1, 0, 2]), torch.tensor([2, 0, 1])
    turned = Lesson(
        told.logits[batch][:, classes],
        classes.argsort()[told.labels[batch]],
        told.soft[batch][:, classes],
    )

    assert float(value(name, turned)) == pytest.approx(float(value(name, told)), rel=1e-4)


@each_term
@pytest.mark.parametrize("of_the_rare", [0, 1])
def test_a_class_without_a_voxel_or_with_one_is_finite(name: str, of_the_rare: int) -> None:
    told = lesson()
    labels = torch.zeros_like(told.labels)
    labels[:, 1, 1] = 2 * of_the_rare
    teacher = told.soft.clone()
    teacher[:, 1] = 0  # as a stored one says that there is none

    changed = replace(told, labels=labels, teacher=teacher / teacher.sum(1, keepdim=True))

    assert bool(value(name, changed).isfinite())
    assert bool(gradient(name, changed).isfinite().all())


@each_term
@pytest.mark.parametrize("size", [0.0, 1e2, 1e4, 1e30])
def test_equal_and_saturated_logits_and_a_certain_teacher_are_finite(
    name: str, size: float
) -> None:
    told = lesson()
    certain = torch.nn.functional.one_hot(told.labels, 3).movedim(-1, 1).float()

    for teacher in (certain, torch.full_like(certain, 1 / 3)):
        changed = replace(told, logits=size * told.logits, teacher=teacher)
        assert bool(value(name, changed).isfinite())
        assert bool(gradient(name, changed).isfinite().all())


@each_term
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_full(name: str, kind: torch.dtype) -> None:
    told = lesson()
    half = replace(told, logits=told.logits.to(kind), teacher=told.soft.to(kind))
    full = replace(half, logits=half.logits.float(), teacher=half.soft)

    result = value(name, half)

    assert result.dtype == torch.float32
    assert float(result) == pytest.approx(float(value(name, full)), rel=1e-6)


# ---- what one of them promises beyond that


def test_the_size_of_the_logits_does_not_matter_once_they_are_standardised() -> None:
    told = lesson()

    larger = value("kl_standardised", told, logits=5 * told.logits)

    assert float(larger) == pytest.approx(float(value("kl_standardised", told)), rel=1e-4)


def test_how_much_of_a_class_there_is_does_not_matter_channel_by_channel() -> None:
    told = lesson((1, 3, 4, 4))
    teacher = torch.softmax(told.logits, 1)

    # half of it everywhere, as it were of a network that is less sure
    assert float(value("channel_wise", told, teacher=teacher / 2)) == pytest.approx(0, abs=1e-5)


def test_classes_are_compared_without_comparing_voxel_with_voxel() -> None:
    told = lesson((1, 3, 4, 4))
    order = torch.arange(16)
    for k in range(3):
        inside = (told.labels.flatten() == k).nonzero().squeeze(1)
        order[inside] = inside.roll(1)
    moved = told.soft.flatten(2)[:, :, order].view_as(told.soft)

    expected = float(value("class_affinity", told))
    assert float(value("class_affinity", told, teacher=moved)) == pytest.approx(expected, rel=1e-4)
    assert float(value("kl_standardised", told, teacher=moved)) != pytest.approx(
        float(value("kl_standardised", told)), rel=1e-2
    )


def test_the_border_of_a_small_structure_counts_as_much_as_that_of_a_large_one() -> None:
    labels = torch.zeros(1, 8, 16, dtype=torch.long)
    labels[:, 1:7, 1:7], labels[:, 3, 12] = 1, 2
    teacher = torch.full((1, 3, 8, 16), 1 / 3)
    logits = torch.zeros(1, 3, 8, 16)
    logits[:, 0, 2:5, 11:14] = 3.0  # wrong round the small one alone

    term = float(value("boundary_kl", Lesson(logits, labels, teacher)))

    probabilities = softmax(np.array([3.0, 0.0, 0.0]))
    one = kl(np.full(3, 1 / 3), probabilities)
    count = int((torch.nn.functional.max_pool2d((labels > 0).float(), 3, 1, 1) > 0).sum())
    inner = 4 * 4  # of the large one, no border
    assert term == pytest.approx(one * (1 + 9 / (count - inner)), rel=1e-5)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_the_deviation_is_compared_by_its_square_and_teaches_the_second_head_alone(
    kind: torch.dtype,
) -> None:
    told = lesson()
    said, aim = (torch.rand(told.logits.shape).to(kind).requires_grad_() for _ in "st")
    logits = told.logits.requires_grad_()

    found = TERMS["deviation"]()(Lesson(logits, told.labels, None, said, aim))
    found.backward()

    error = (said.detach().double() - aim.detach().double()).numpy()
    assert float(found.detach()) == pytest.approx((error**2).sum(1).mean(), rel=1e-4)
    assert found.dtype == torch.float32
    assert said.grad is not None
    assert float((said.grad != 0).float().mean()) > 0.99
    assert aim.grad is None
    assert logits.grad is None


def test_neither_the_order_of_the_batch_nor_an_empty_class_matters_to_the_deviation() -> None:
    said, aim = torch.rand(2, 3, 3, 4, 4) / 2
    labels = torch.zeros(3, 4, 4, dtype=torch.long)
    order = torch.tensor([2, 0, 1])
    term = TERMS["deviation"]()

    found = float(term(Lesson(said, labels, None, said, aim)))
    turned = float(term(Lesson(said, labels, None, said[order], aim[order])))

    assert turned == pytest.approx(found, rel=1e-6)
    assert found > 0.01


@pytest.mark.parametrize("where", ["teacher_correct", "teacher_better", "boundary"])
@pytest.mark.parametrize("size", [0.0, 1e4, 1e30])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_weights_of_voxels_are_finite_for_saturated_logits_and_half_precision(
    where: Any, size: float, kind: torch.dtype
) -> None:
    told = lesson()
    largest = torch.finfo(kind).max
    logits = (size * told.logits).clamp(-largest, largest).to(kind).requires_grad_()
    certain = torch.nn.functional.one_hot(told.labels, 3).movedim(-1, 1).to(kind)

    found = TERMS["kl"](where=where)(replace(told, logits=logits, teacher=certain))
    found.backward()

    assert found.dtype == torch.float32
    assert bool(found.isfinite())
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("name", ["kl", "mse_probabilities", "kl_standardised"])
@pytest.mark.parametrize("where", ["teacher_correct", "teacher_better", "boundary"])
def test_a_term_of_single_voxels_can_be_weighted_by_voxel(name: str, where: Any) -> None:
    told = lesson()
    each = TERMS[name]().voxels(told).numpy().ravel()  # type: ignore[attr-defined]
    labels, teacher = told.labels.numpy(), told.soft.numpy()
    p = np.array([softmax(v) for v in voxels(told.logits.numpy())])
    right = voxels(teacher).argmax(1) == labels.ravel()
    chosen = np.arange(labels.size), labels.ravel()
    worse = np.log(voxels(teacher)[chosen]) - np.log(p[chosen])
    border = [
        len(np.unique(labels[n, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2])) > 1
        for n, y, x in np.ndindex(labels.shape)
    ]
    weights = {
        "teacher_correct": right.astype(float),
        "teacher_better": right * np.maximum(worse, 0),
        "boundary": np.array(border, float),
    }[where]

    found = TERMS[name](where=where)(told)  # type: ignore[call-arg]

    assert float(found) == pytest.approx((weights * each).sum() / weights.sum(), rel=1e-4)


@pytest.mark.parametrize("where", ["teacher_correct", "teacher_better", "boundary"])
def test_without_any_voxel_that_counts_the_term_is_zero(where: Any) -> None:
    told = lesson()
    wrong = torch.nn.functional.one_hot((told.labels + 1) % 3, 3).movedim(-1, 1).float()
    told = replace(told, teacher=wrong)
    told = replace(told, labels=0 * told.labels) if where == "boundary" else told

    assert float(TERMS["kl"](where=where)(told)) == 0  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {"temperature": 0.0}) for name in REFERENCES),
        ("dist", {"within": -1.0}),
        ("dist", {"within": 0.0, "between": 0.0}),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        TERMS[name](**settings)


def test_the_divergence_at_borders_may_leave_out_where_the_teacher_is_wrong() -> None:
    told = lesson()
    right = told.soft.argmax(1)
    everywhere = BoundaryKL()(replace(told, labels=right))

    assert float(BoundaryKL(where="teacher_correct")(replace(told, labels=right))) == pytest.approx(
        float(everywhere)
    )
    wrong = replace(told, labels=(right + 1) % told.logits.shape[1])
    assert float(BoundaryKL(where="teacher_correct")(wrong)) == 0
