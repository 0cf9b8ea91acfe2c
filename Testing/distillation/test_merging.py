"""What teachers of single structures say together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from KDSegmentationLogic.distillation.merging import merged


def said(*probabilities: float) -> torch.Tensor:
    """Of one voxel, [1, k, 1, 1]."""
    return torch.tensor(probabilities).view(1, -1, 1, 1)


def together(each: list[torch.Tensor], knows: list[tuple[int, ...]]) -> list[float]:
    return merged(each, knows).flatten().tolist()


def test_one_teacher_of_all_classes_is_heard_as_it_is() -> None:
    assert together([said(0.2, 0.5, 0.3)], [(1, 2)]) == pytest.approx([0.2, 0.5, 0.3])


def test_background_is_where_all_say_so() -> None:
    found = together([said(0.99, 0.01), said(0.98, 0.02)], [(1,), (2,)])

    assert found[0] > 0.96


def test_a_structure_keeps_its_odds_against_the_background() -> None:
    found = together([said(0.2, 0.8), said(0.9, 0.1)], [(2,), (1,)])

    assert sum(found) == pytest.approx(1)
    assert found[2] / found[0] == pytest.approx(0.8 / 0.2)
    assert found[1] / found[0] == pytest.approx(0.1 / 0.9)


def test_of_two_that_claim_a_voxel_the_surer_one_gets_more_even_where_both_are_certain() -> None:
    unsure = together([said(0.2, 0.8), said(0.1, 0.9)], [(1,), (2,)])
    certain = together([said(0.0, 1.0), said(0.0, 1.0)], [(1,), (2,)])

    assert unsure[2] > unsure[1] > unsure[0]
    assert certain == pytest.approx([0, 0.5, 0.5], abs=1e-5)


def test_teachers_of_the_same_structure_are_averaged() -> None:
    knows: list[tuple[int, ...]] = [(1,), (1,), (2,)]

    found = together([said(0.1, 0.9), said(0.3, 0.7), said(0.5, 0.5)], knows)

    assert found == pytest.approx(together([said(0.2, 0.8), said(0.5, 0.5)], [(1,), (2,)]))


@pytest.mark.parametrize("size", [(3, 4), (3, 4, 2)])
def test_each_voxel_of_slices_and_volumes_is_merged_alone(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    each = [torch.softmax(torch.randn(2, k, *size), 1) for k in (3, 2)]

    found = merged(each, [(3, 1), (2,)]).movedim(1, -1).reshape(-1, 4).numpy()

    a, b = (p.movedim(1, -1).reshape(-1, p.shape[1]).numpy() for p in each)
    weights = np.stack(
        [np.ones(len(a)), a[:, 2] / a[:, 0], b[:, 1] / b[:, 0], a[:, 1] / a[:, 0]], axis=1
    )
    assert np.allclose(found, weights / weights.sum(1, keepdims=True), atol=1e-5)
