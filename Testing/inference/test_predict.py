"""Members, views, windows, and what is averaged over what."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.inference.predict import Runner, pad_to_multiple, plan_passes, predict
from KDSegmentationLogic.progress import Monitor

Build = Callable[..., Runner]
SHAPE = (10, 13, 11)
PLENTY = 1e12


def volume(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1, (1, *shape)).astype(np.float32)


def mean_of(runners: list[Runner], array: np.ndarray, budget: float = PLENTY) -> np.ndarray:
    passes = plan_passes(runners, array.shape[1:], budget)
    return np.concatenate([p.mean for p in predict(array, passes, Monitor())], axis=1)


def forward(runner: Runner, batch: np.ndarray) -> np.ndarray:
    """[n, c, ...] through the engine, padded by hand."""
    wide = pad_to_multiple(batch, runner.engine.divisor)
    result = runner.engine.probabilities(wide, Monitor())
    for axis, length in enumerate(batch.shape[2:], 2):
        result = result.take(range(length), axis=axis)
    return result


def test_a_3d_member_sees_the_whole_volume_at_once(random_runner: Build) -> None:
    runner, array = random_runner(), volume()
    np.testing.assert_array_equal(mean_of([runner], array), forward(runner, array[None])[0])


@pytest.mark.parametrize(("view", "axis"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_a_2d_member_sees_each_slice_of_its_view(
    random_runner: Build, view: str, axis: int
) -> None:
    runner, array = random_runner(dimensions=2, views=(view,)), volume()
    found = mean_of([runner], array)
    for index in range(array.shape[axis + 1]):
        single = forward(runner, array.take(index, axis=axis + 1)[None])[0]
        np.testing.assert_allclose(found.take(index, axis=axis + 1), single, atol=1e-5)


def test_a_2d_member_averages_its_views(random_runner: Build) -> None:
    views = ("axial", "coronal", "sagittal")
    array = volume()
    singles = [mean_of([random_runner(dimensions=2, views=(v,))], array) for v in views]
    found = mean_of([random_runner(dimensions=2, views=views)], array)
    np.testing.assert_allclose(found, np.mean(singles, axis=0), atol=1e-6)


def test_an_ensemble_is_the_mean_of_its_members_not_of_their_views(random_runner: Build) -> None:
    members = [
        random_runner(1),
        random_runner(2, dimensions=2, views=("axial", "coronal", "sagittal")),
    ]
    array = volume()
    singles = [mean_of([member], array) for member in members]
    np.testing.assert_allclose(mean_of(members, array), np.mean(singles, axis=0), atol=1e-7)


def test_the_deviation_is_that_over_members(random_runner: Build) -> None:
    members = [random_runner(seed) for seed in range(3)]
    array = volume()
    passes = plan_passes(members, SHAPE, PLENTY)
    found = [p.deviation for p in predict(array, passes, Monitor(), deviation=True)]
    wanted = np.std([mean_of([member], array) for member in members], axis=0)
    assert wanted.max() > 1e-3
    np.testing.assert_allclose(np.concatenate(found, axis=1), wanted, atol=1e-6)  # type: ignore[arg-type]


def test_temperature_divides_the_logits(random_runner: Build) -> None:
    array = volume()
    plain, soft = (mean_of([random_runner(temperature=t)], array) for t in (1.0, 4.0))
    wanted = plain**0.25 / (plain**0.25).sum(axis=0)
    np.testing.assert_allclose(soft, wanted, atol=1e-5)


def test_probabilities_are_the_softmax_of_the_logits(random_runner: Build) -> None:
    runner = random_runner(temperature=2.0)
    batch = volume((8, 12, 8))[None] * 50
    network = runner.engine._network  # type: ignore[attr-defined]
    with torch.no_grad():
        wanted = torch.softmax(network(torch.from_numpy(batch)) / 2.0, dim=1).numpy()
    found = runner.engine.probabilities(batch, Monitor())
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)


def test_a_member_that_may_not_see_the_whole_gets_windows_of_its_patch(
    random_runner: Build, limited: Callable[..., object]
) -> None:
    runner = random_runner(whole=False, patch=(8, 8, 8))
    seen = limited(runner.engine, PLENTY)
    mean_of([Runner(runner.member, seen)], volume())  # type: ignore[arg-type]
    assert set(seen.shapes) == {(1, 1, 8, 8, 8)}  # type: ignore[attr-defined]


def test_a_volume_smaller_than_the_patch_is_one_window(random_runner: Build) -> None:
    runner = random_runner(whole=False, patch=(64, 64, 64))
    plan = plan_passes([runner], SHAPE, PLENTY)[0][0]
    assert plan.tiling.count == 1
    assert plan.tiling.size == SHAPE


def test_windows_shrink_with_the_memory_and_never_grow(random_runner: Build) -> None:
    runner = random_runner(patch=(32, 32, 32))
    shape = (64, 64, 64)
    sizes = []
    for budget in (PLENTY, 2e7, 5e6, 1e6, 0, -1e9):
        plan = plan_passes([runner], shape, budget)[0][0]
        sizes.append(plan.tiling.size)
        assert plan.bytes_needed <= budget or plan.tiling.size == (8, 8, 8)
    assert sizes[0] == shape
    assert sizes[-1] == (8, 8, 8)
    assert sizes == sorted(sizes, reverse=True)


def test_each_step_of_shrinking_rules_out_one_size(random_runner: Build) -> None:
    runner = random_runner(patch=(32, 32, 32))
    found = [
        plan_passes([runner], (64, 64, 64), PLENTY, shrink)[0][0].tiling.size for shrink in range(4)
    ]
    assert found == [(64,) * 3, (32,) * 3, (16,) * 3, (8,) * 3]


def test_more_members_need_more_memory(random_runner: Build) -> None:
    """All wait for each other, so their probabilities are there at the same time."""
    runner = random_runner(patch=(16, 16, 16))
    needed = [
        plan_passes([runner] * count, (48, 48, 48), PLENTY)[0][0].bytes_needed for count in (1, 5)
    ]
    assert needed[1] >= needed[0] + 4 * 48**3 * 3 * 4


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    divisor=st.tuples(*[st.sampled_from([1, 2, 4, 8])] * 3),
)
def test_padding_repeats_the_edge_up_to_the_next_multiple(
    shape: tuple[int, ...], divisor: tuple[int, ...]
) -> None:
    array = np.random.default_rng(0).random((2, *shape))
    padded = pad_to_multiple(array, divisor)
    for size, length, d in zip(padded.shape[1:], shape, divisor, strict=True):
        assert size % d == 0
        assert length <= size < length + d
    z, y, x = shape
    np.testing.assert_array_equal(padded[:, :z, :y, :x], array)
    assert (padded[:, -1, -1, -1] == array[:, -1, -1, -1]).all()


def test_a_single_member_has_no_deviation(random_runner: Build) -> None:
    passes = plan_passes([random_runner()], SHAPE, PLENTY)
    assert {p.deviation is None for p in predict(volume(), passes, Monitor(), True)} == {True}


@pytest.mark.parametrize("settings", [{}, {"dimensions": 2, "views": ("coronal",)}])
def test_values_that_are_not_numbers_are_never_an_empty_result(
    settings: dict[str, object], random_runner: Build
) -> None:
    runner = random_runner(**settings)
    with torch.no_grad():
        runner.engine._network.classifier.bias[1] = float("nan")  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match=r"model\.safetensors gives values that are not numbers"):
        mean_of([runner], volume())
