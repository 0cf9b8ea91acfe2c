"""A function in a process of its own: results, progress, errors, death."""

from __future__ import annotations

import os

import pytest

from KDSegmentationLogic.child import ChildFailure, in_child
from KDSegmentationLogic.errors import Cancelled, KDSegError, RegionError
from KDSegmentationLogic.progress import CancelToken, Monitor


def _double(number: int, monitor: Monitor) -> int:
    for step in range(1001):
        monitor.report(step / 1000, "doubling")
    monitor.notice("Doubled.")
    return 2 * number


def _fail(how: str, monitor: Monitor) -> None:
    if how == "refuse":
        raise RegionError("The point lies outside.", "Move it.")
    if how == "bug":
        raise IndexError("list index out of range")
    if how == "die":
        os._exit(3)
    while True:
        monitor.report(0.5, "for ever")


def test_a_result_comes_back_with_progress_and_notices() -> None:
    fractions, notices = [], []
    monitor = Monitor(lambda fraction, _: fractions.append(fraction), notices.append)
    assert in_child(_double, 21, monitor) == 42
    assert notices == ["Doubled."]
    assert 50 <= len(fractions) <= 101
    assert fractions == sorted(fractions)


def test_a_refusal_comes_back_as_itself() -> None:
    with pytest.raises(RegionError) as caught:
        in_child(_fail, "refuse", Monitor())
    assert (caught.value.cause, caught.value.remedy) == ("The point lies outside.", "Move it.")


def test_a_bug_comes_back_with_its_own_traceback() -> None:
    with pytest.raises(ChildFailure, match="IndexError: list index out of range") as caught:
        in_child(_fail, "bug", Monitor())
    assert "in _fail" in str(caught.value.__cause__)


def test_a_process_that_dies_is_an_error_and_not_a_wait() -> None:
    with pytest.raises(KDSegError, match="exit status 3"):
        in_child(_fail, "die", Monitor())


def test_cancelling_ends_the_process() -> None:
    token = CancelToken()
    with pytest.raises(Cancelled):
        in_child(_fail, "loop", Monitor(lambda *_: token.cancel(), cancel=token))
