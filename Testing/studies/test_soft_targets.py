"""Soft targets come back as they were stored, within half of one quantum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.studies.stages import agreement
from KDSegmentationLogic.studies.targets import SoftTargets
from KDSegmentationLogic.training.quantised import decode_deviation, decode_probabilities


@pytest.fixture
def targets(tmp_path: Path) -> SoftTargets:
    return SoftTargets(tmp_path / "targets")


def probabilities(classes: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """float32 [k, z, y, x], many of them very near 0 and 1."""
    drawn = np.exp(4 * np.random.default_rng(seed).standard_normal((classes, *shape)))
    return (drawn / drawn.sum(axis=0)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(classes=st.integers(2, 6), seed=st.integers(0, 2**31))
def test_a_soft_target_comes_back_within_half_a_quantum(
    tmp_path_factory: pytest.TempPathFactory, classes: int, seed: int
) -> None:
    targets = SoftTargets(tmp_path_factory.mktemp("targets"))
    mean = probabilities(classes, (3, 4, 5), seed)
    deviation = mean / 2

    targets.save("case", mean, deviation, 0.25)
    back = targets.load("case")

    assert np.abs(decode_probabilities(back.mean) - mean).max() <= 3.1e-5
    assert np.abs(decode_deviation(back.deviation) - deviation).max() <= 1 / 1020 + 1e-6
    assert back.agreement == 0.25


def test_zero_and_one_come_back_exactly(targets: SoftTargets) -> None:
    # a softmax in single precision may end a little above 1; that must not wrap to 0
    mean = np.array([0.0, 1.0, 1.0 + 1e-6], "f4").reshape(3, 1, 1, 1)
    targets.save("case", mean, mean / 2, 1.0)

    assert targets.load("case").mean.ravel().tolist() == [0, 65535, 65535]
    assert decode_probabilities(np.array([0, 65535], np.uint16)).tolist() == [0, 1]
    assert targets.load("case").deviation.ravel().tolist() == [0, 255, 255]


def test_small_probabilities_stay_apart_from_nothing(targets: SoftTargets) -> None:
    small = np.logspace(-16, -3, 14, dtype=np.float32).reshape(-1, 1, 1, 1)
    targets.save("case", small, np.zeros_like(small), 1.0)

    back = decode_probabilities(targets.load("case").mean)

    assert np.allclose(back ** (1 / 10), small ** (1 / 10), rtol=0.04)


def test_a_case_takes_at_most_three_bytes_a_class_and_voxel(targets: SoftTargets) -> None:
    noise = np.random.default_rng(0).random((2, 20, 30, 40), np.float32)

    targets.save("noise", noise, noise / 2, 1.0)

    assert targets.path("noise").stat().st_size < 3 * 1.01 * noise.size + 1500


def test_a_soft_target_is_named_after_its_case_with_all_its_dots(targets: SoftTargets) -> None:
    targets.save("case.1", probabilities(2, (2, 2, 2)), probabilities(2, (2, 2, 2)), 1.0)

    assert [path.name for path in targets.folder.iterdir()] == ["case.1.npz"]


@pytest.mark.parametrize("damage", [b"", b"no archive"])
def test_a_damaged_soft_target_is_named(targets: SoftTargets, damage: bytes) -> None:
    targets.save("case", probabilities(2, (2, 2, 2)), probabilities(2, (2, 2, 2)), 1.0)
    targets.path("case").write_bytes(damage)

    with pytest.raises(TrainingError, match=r"case\.npz cannot be read .* Delete it"):
        targets.load("case")


def test_agreement_is_the_mean_dice_of_every_two_members() -> None:
    a, b, c = np.array([1, 1, 0, 0]), np.array([1, 1, 1, 1]), np.array([0, 0, 0, 0])

    assert agreement([a, a]) == 1
    assert agreement([a, b]) == pytest.approx(2 / 3)
    assert agreement([a, b, c]) == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert agreement([a]) == 1
