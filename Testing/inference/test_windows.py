"""Windows: shares that sum to one, blends that leave what all windows agree on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.inference.windows import Block, Tiling, axis_windows, lockstep, stream

LENGTHS = st.integers(1, 60)
OVERLAPS = st.floats(0.0, 0.95)


@settings(max_examples=200, deadline=None)
@given(length=LENGTHS, size=st.integers(1, 70), overlap=OVERLAPS, blend=st.booleans())
def test_the_shares_of_all_windows_sum_to_one_at_every_voxel(
    length: int, size: int, overlap: float, blend: bool
) -> None:
    axis = axis_windows(length, size, overlap, blend)
    total = np.zeros(length)
    for start in axis.starts:
        assert 0 <= start <= length - axis.size
        total[start : start + axis.size] += axis.share(start)
    np.testing.assert_allclose(total, 1.0, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(length=LENGTHS, size=st.integers(1, 70), overlap=OVERLAPS)
def test_neighbouring_windows_overlap_by_at_least_what_was_asked(
    length: int, size: int, overlap: float
) -> None:
    axis = axis_windows(length, size, overlap)
    steps = np.diff(axis.starts)
    assert (steps >= 1).all()
    assert (steps <= max(1, int(axis.size * (1 - overlap)))).all()


def test_slices_of_a_2d_network_lie_side_by_side() -> None:
    axis = axis_windows(20, 8, 0.5, blend=False)
    assert axis.starts == (0, 6, 12)
    assert set(axis.weights.tolist()) == {1.0}


def tiling_of(shape: tuple[int, ...], patch: tuple[int, ...], overlap: float) -> Tiling:
    z, y, x = (axis_windows(n, p, overlap) for n, p in zip(shape, patch, strict=True))
    return Tiling(z, y, x)


def joined(blocks: Iterator[Block]) -> np.ndarray:
    """All planes, checked to arrive in order and without a gap."""
    parts, following = [], 0
    for start, planes in blocks:
        assert start == following
        following += planes.shape[1]
        parts.append(planes)
    return np.concatenate(parts, axis=1)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 14), st.integers(1, 14)),
    patch=st.tuples(st.integers(1, 20), st.integers(1, 8), st.integers(1, 8)),
    overlap=st.floats(0.0, 0.8),
)
def test_windows_leave_a_function_of_single_voxels_as_it_is(
    shape: tuple[int, ...], patch: tuple[int, ...], overlap: float
) -> None:
    array = np.random.default_rng(0).random((2, *shape), np.float32)

    def pointwise(part: np.ndarray) -> np.ndarray:
        return np.stack([part[0] ** 2, part[1] - part[0], part[0] * part[1]])

    blended = joined(stream(array, tiling_of(shape, patch, overlap), 3, pointwise))
    np.testing.assert_allclose(blended, pointwise(array), atol=1e-5)


def test_a_window_counts_most_at_its_middle() -> None:
    """Two windows that disagree: near its own middle each prevails, at the seam they meet."""
    array = np.zeros((1, 1, 1, 24), np.float32)
    values = iter((0.0, 1.0))
    blended = joined(
        stream(array, tiling_of((1, 1, 24), (1, 1, 16), 0.5), 1, lambda p: p + next(values))
    )[0, 0, 0]
    assert blended[7] < 0.02
    assert blended[16] > 0.98
    assert blended[11] + blended[12] == pytest.approx(1.0, abs=1e-5)
    assert (np.diff(blended) >= -1e-6).all()


@settings(max_examples=60, deadline=None)
@given(
    depth=st.integers(1, 20),
    cuts=st.lists(st.lists(st.integers(0, 19), max_size=5), min_size=1, max_size=4),
)
def test_lockstep_recovers_every_stream_whatever_its_splitting(
    depth: int, cuts: list[list[int]]
) -> None:
    random = np.random.default_rng(1)
    wholes = [random.random((2, depth, 3, 2), np.float32) for _ in cuts]

    def split(whole: np.ndarray, where: list[int]) -> Iterator[Block]:
        edges = sorted({0, depth, *(cut % depth for cut in where)})
        for first, last in pairwise(edges):
            yield first, whole[:, first:last]

    parts = list(lockstep([split(w, c) for w, c in zip(wholes, cuts, strict=True)]))
    for i, whole in enumerate(wholes):
        again = joined((start, blocks[i]) for start, blocks in parts)
        np.testing.assert_array_equal(again, whole)
