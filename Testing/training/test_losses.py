"""Losses on labels against plain numpy, and the objective that weighs them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.distillation.catalogue import TERMS
from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.training.losses import (
    LABEL_LOSSES,
    Objective,
    cross_entropy,
    soft_dice,
    squared_dice,
    weighted_cross_entropy,
)

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

each_loss = pytest.mark.parametrize("loss", LABEL_LOSSES.values(), ids=LABEL_LOSSES)


def example(
    classes: int = 3, samples: int = 2, size: tuple[int, ...] = (2, 3, 4), seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    logits = 3 * random.standard_normal((samples, classes, *size))
    labels = random.integers(0, classes, (samples, *size))
    return torch.from_numpy(logits).float(), torch.from_numpy(labels)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def certain(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Logits that leave no doubt."""
    return 200 * torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).float() - 100


examples = st.builds(
    example,
    classes=st.integers(2, 5),
    samples=st.integers(1, 3),
    size=st.sampled_from([(4,), (3, 2), (2, 3, 4)]),
    seed=st.integers(0, 2**31),
)


@settings(max_examples=30, deadline=None)
@given(examples)
def test_cross_entropy_is_the_mean_of_minus_log_softmax_at_the_label(
    pair: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, labels = pair
    chosen = np.take_along_axis(softmax(logits.numpy()), labels.numpy()[:, None], axis=1)

    assert float(cross_entropy(logits, labels)) == pytest.approx(-np.log(chosen).mean(), rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(examples)
def test_soft_dice_is_one_minus_the_dice_of_the_whole_batch_averaged_over_classes(
    pair: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, labels = pair
    probabilities = softmax(logits.numpy())
    scores = []
    for k in range(logits.shape[1]):
        p, truth = probabilities[:, k], labels.numpy() == k
        scores.append(2 * p[truth].sum() / (p.sum() + truth.sum() + 1e-7))

    assert float(soft_dice(logits, labels)) == pytest.approx(1 - np.mean(scores), abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(examples)
def test_weighted_cross_entropy_counts_a_class_by_the_share_of_the_others(
    pair: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, labels = pair
    chosen = np.take_along_axis(softmax(logits.numpy()), labels.numpy()[:, None], axis=1)[:, 0]
    rarity = np.array([1 - (labels.numpy() == k).mean() for k in range(logits.shape[1])])
    weights = rarity[labels.numpy()]
    expected = -(weights * np.log(chosen)).sum() / max(weights.sum(), 1e-7)

    assert float(weighted_cross_entropy(logits, labels)) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(examples)
def test_squared_dice_has_the_sum_of_squares_below(
    pair: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, labels = pair
    probabilities = softmax(logits.numpy())
    scores = []
    for k in range(logits.shape[1]):
        p, truth = probabilities[:, k], labels.numpy() == k
        scores.append((2 * p[truth].sum() + 1e-5) / ((p**2).sum() + truth.sum() + 1e-5))

    assert float(squared_dice(logits, labels)) == pytest.approx(1 - np.mean(scores), abs=1e-5)


def test_a_class_that_is_nowhere_costs_the_squared_dice_nothing() -> None:
    _, labels = example()

    assert float(squared_dice(certain(labels, 5), labels)) == pytest.approx(0, abs=1e-6)


def test_cross_entropy_of_certain_logits_is_zero() -> None:
    # of a softmax taken for logits it could not fall below 0.55 with three classes
    _, labels = example()

    assert float(cross_entropy(certain(labels, 3), labels)) < 1e-6


def test_soft_dice_of_a_perfect_prediction_is_zero() -> None:
    _, labels = example()

    assert float(soft_dice(certain(labels, 3), labels)) == pytest.approx(0, abs=1e-6)


def test_a_class_that_only_one_sample_holds_can_still_be_perfect() -> None:
    labels = torch.zeros(2, 4, 4, dtype=torch.int64)
    labels[0, 1, 1] = 1
    logits = certain(labels, 2)

    assert float(soft_dice(logits, labels)) == pytest.approx(0, abs=1e-6)
    assert float(soft_dice(logits[1:], labels[1:])) == pytest.approx(0.5, abs=1e-3)


@each_loss
def test_a_loss_is_finite_with_its_gradient_where_a_class_is_nowhere(loss: Loss) -> None:
    labels = torch.zeros(2, 4, 4, dtype=torch.int64)
    logits = certain(labels, 3).requires_grad_()

    value = loss(logits, labels)
    value.backward()

    assert bool(value.isfinite())
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


@each_loss
def test_a_step_down_the_gradient_lowers_a_loss(loss: Loss) -> None:
    logits, labels = example()
    logits.requires_grad_()
    before = loss(logits, labels)
    before.backward()

    assert logits.grad is not None
    assert bool(loss(logits.detach() - logits.grad, labels) < before)


@each_loss
def test_the_gradient_of_a_loss_is_that_of_finite_differences(loss: Loss) -> None:
    logits, labels = example(size=(2, 2))
    logits.requires_grad_()
    loss(logits, labels).backward()

    assert logits.grad is not None
    nudge = torch.zeros_like(logits)
    nudge[1, 2, 0, 1] = 1e-2
    with torch.no_grad():
        slope = (loss(logits + nudge, labels) - loss(logits - nudge, labels)) / 2e-2
    assert float(slope) == pytest.approx(float(logits.grad[1, 2, 0, 1]), abs=1e-4)


@each_loss
def test_a_loss_of_half_precision_logits_is_computed_in_full(loss: Loss) -> None:
    logits, labels = example()
    half = logits.half()

    assert loss(half, labels).dtype == torch.float32
    assert float(loss(half, labels)) == pytest.approx(float(loss(half.float(), labels)), abs=1e-6)


def test_an_unknown_loss_is_refused_with_those_that_exist() -> None:
    with pytest.raises(TrainingError, match=r"no loss called focal\. Choose from: .*dice") as found:
        Objective({"focal": 1.0})
    assert all(name in str(found.value) for name in (*LABEL_LOSSES, *TERMS))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_that_is_not_above_zero_is_refused(weight: float) -> None:
    with pytest.raises(TrainingError, match=r"weight of the loss dice is .* above zero"):
        Objective({"dice": weight})


def test_an_objective_of_nothing_is_refused() -> None:
    with pytest.raises(TrainingError, match="The training has no loss"):
        Objective({})


@pytest.mark.parametrize("term", TERMS)
def test_a_distillation_term_without_soft_targets_is_refused(term: str) -> None:
    logits, labels = example()

    with pytest.raises(TrainingError, match=f"The loss {term} needs soft targets"):
        Objective({"dice": 1.0, term: 1.0})(Lesson(logits, labels))


def test_only_a_distillation_term_needs_a_teacher() -> None:
    assert not Objective({"dice": 1.0, "cross_entropy": 1.0}).needs_teacher
    assert all(Objective({"dice": 1.0, term: 1.0}).needs_teacher for term in TERMS)


def test_the_objective_is_the_weighted_sum_and_tells_its_parts_unweighted() -> None:
    logits, labels = example()
    soft = torch.softmax(example(seed=1)[0], 1)
    names = (*LABEL_LOSSES, "kl", "mse_probabilities")
    weights = {name: 0.5 + number for number, name in enumerate(names)}
    lesson = Lesson(logits, labels, soft)

    total, parts = Objective(weights)(lesson)

    alone = {name: float(loss(logits, labels)) for name, loss in LABEL_LOSSES.items()}
    alone |= {name: float(TERMS[name]()(lesson)) for name in names if name in TERMS}
    assert {name: float(part) for name, part in parts.items()} == pytest.approx(alone)
    assert float(total) == pytest.approx(sum(weights[name] * alone[name] for name in weights))


def test_twice_the_weight_is_twice_the_gradient() -> None:
    gradients = []
    for weight in (0.7, 1.4):
        logits, labels = example()
        lesson = Lesson(logits.requires_grad_(), labels)
        Objective({"cross_entropy": weight})(lesson)[0].backward()
        assert logits.grad is not None
        gradients.append(logits.grad)

    assert torch.allclose(2 * gradients[0], gradients[1])
