"""Folds and lists by patient: whole, complete, balanced and the same everywhere."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.training.folds import folds_by_group, split_by_group

Groups = dict[str, str]

GROUPS = st.lists(st.integers(1, 5), min_size=6, max_size=30).map(
    lambda sizes: {f"p{g}-{c}": f"p{g}" for g, size in enumerate(sizes) for c in range(size)}
)


def largest(groups: Groups) -> int:
    return max(list(groups.values()).count(group) for group in groups.values())


def patients(cases: tuple[str, ...], groups: Groups) -> set[str]:
    return {groups[case] for case in cases}


def check_parted(parts: list[tuple[str, ...]], groups: Groups) -> None:
    """Every case is in one part, every patient too, and no part is empty."""
    assert sorted(case for part in parts for case in part) == sorted(groups)
    found = [patients(part, groups) for part in parts]
    assert sum(map(len, found)) == len(set(groups.values()))
    assert all(parts)


@settings(max_examples=60, deadline=None)
@given(groups=GROUPS, count=st.integers(2, 6), seed=st.integers(0, 99))
def test_folds_hold_every_case_once_and_patients_whole(
    groups: Groups, count: int, seed: int
) -> None:
    folds = folds_by_group(groups, count, seed)

    check_parted(list(folds), groups)
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= largest(groups)


@settings(max_examples=60, deadline=None)
@given(
    groups=GROUPS,
    val=st.floats(0.02, 0.4),
    test=st.floats(0.02, 0.4),
    seed=st.integers(0, 99),
)
def test_lists_hold_every_case_once_and_their_shares(
    groups: Groups, val: float, test: float, seed: int
) -> None:
    lists = split_by_group(groups, {"val": val, "test": test}, "train", seed)

    check_parted(list(lists.values()), groups)
    for name, share in (("val", val), ("test", test)):
        # at least one patient, and room for the others
        least = min(share * len(groups), 0.25 * len(groups))
        assert len(lists[name]) >= math.floor(least) - largest(groups)
        assert len(lists[name]) <= share * len(groups) + largest(groups)


@given(groups=GROUPS, seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_cases_does_not_matter(groups: Groups, seed: int) -> None:
    turned = dict(reversed(groups.items()))

    assert folds_by_group(groups, 3, seed) == folds_by_group(turned, 3, seed)
    shares = {"val": 0.2}
    assert split_by_group(groups, shares, "train", seed) == split_by_group(
        turned, shares, "train", seed
    )


def test_chance_is_the_same_on_every_platform() -> None:
    groups = {f"c{number}": f"p{number // 2}" for number in range(8)}

    assert folds_by_group(groups, 2, seed=1) == FOLDS_OF_SEED_1
    assert folds_by_group(groups, 2, seed=2) != FOLDS_OF_SEED_1


FOLDS_OF_SEED_1 = (("c2", "c3", "c4", "c5"), ("c0", "c1", "c6", "c7"))


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(DatasetError, match="3 folds cannot be made of 2 patient"):
        folds_by_group({"a": "p", "b": "p", "c": "q"}, 3)


def test_more_lists_than_patients_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"val, train cannot be made of 1 patient.*splits\.json"):
        split_by_group({"a": "p", "b": "p"}, {"val": 0.5}, "train")


@pytest.mark.parametrize("shares", [{"val": 0.0}, {"val": 0.6, "test": 0.4}])
def test_shares_that_leave_nothing_are_a_callers_fault(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above zero and leave a rest"):
        split_by_group({"a": "p", "b": "q", "c": "r"}, shares, "train")
