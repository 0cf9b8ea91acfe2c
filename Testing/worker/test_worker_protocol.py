"""Messages between client and child: what is sent arrives, what is none is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from KDSegmentationLogic import errors
from KDSegmentationLogic.errors import KDSegError, RegionError, UsageError
from KDSegmentationLogic.inference.pipeline import Settings
from KDSegmentationLogic.inference.region import Box, Point
from KDSegmentationLogic.worker import protocol
from KDSegmentationLogic.worker.protocol import (
    Cancel,
    Done,
    Failed,
    Hello,
    LineError,
    Notice,
    Progress,
    Ready,
    Segment,
    Stopped,
    Warm,
    reply_of,
    request_of,
    to_line,
)
from KDSegmentationLogic.worker.requests import checked_region, checked_settings
from KDSegmentationLogic.worker.volumes import Volume

VOLUME = Volume("a.raw", "<i2", (4, 3, 2), (1.0, 0.1, 3.0), (0.1, -2.0, 1e-9), (1.0, *[0.0] * 8))
SEGMENT = Segment(3, "Lékař\udcff", Settings(threads=2), (VOLUME,), Point((1.0, 2.0, 1 / 3)))
ERRORS = sorted(
    {k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, KDSegError)},
    key=lambda k: k.__name__,
)


@pytest.mark.parametrize(
    "message",
    [
        Hello(1, "a folder"),
        Warm(1, "a", Settings()),
        SEGMENT,
        replace(SEGMENT, point=None, box=Box((0.0,) * 3, (1.0,) * 3, (0.5,) * 16)),
        Cancel(3),
    ],
)
def test_a_request_arrives_as_it_was_sent(message: protocol.Request) -> None:
    line = to_line(message)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert request_of(line) == message


@pytest.mark.parametrize(
    "message",
    [
        Ready(1, 77),
        Progress(1, 0.5, "window 1\nof 2"),
        Notice(1, "a"),
        Done(1, "cpu", "torch", {"predict": 0.5}, 1.5, labels=VOLUME),
        Failed("region", "a", "b", 1),
        Failed("error", "a", "b", None, True),
        Stopped(1),
    ],
)
def test_a_reply_arrives_as_it_was_sent(message: protocol.Reply) -> None:
    assert reply_of(to_line(message)) == message


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_of_each_kind_comes_back_as_its_own_class(kind: type[KDSegError]) -> None:
    sent = protocol.failure_of(kind("The cause.", "The remedy."), 1)
    error = protocol.error_of(reply_of(to_line(sent)))  # type: ignore[arg-type]
    assert type(error) is kind
    assert (error.cause, error.remedy) == ("The cause.", "The remedy.")


def test_an_error_of_a_kind_from_the_future_keeps_its_words() -> None:
    error = protocol.error_of(Failed("quantum", "The cause.", "The remedy."))
    assert type(error) is KDSegError
    assert str(error) == "The cause. The remedy."


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "JSON|Expecting"),
        (b"nonsense", "Expecting"),
        (b"[1]", "not a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{}", "kind None is unknown"),
        (b'{"kind": "dance"}', "kind 'dance' is unknown"),
        (b'{"kind": ["hello"]}', "is unknown"),
        (b'{"kind": "cancel"}', "cancel.job: is missing"),
        (b'{"kind": "cancel", "job": "1"}', "expected a whole number"),
        (b'{"kind": "cancel", "job": 1, "now": true}', "cancel.now: is not a known key"),
    ],
)
def test_a_line_that_is_no_request_is_refused_with_the_reason(line: bytes, why: str) -> None:
    with pytest.raises(LineError, match=why):
        request_of(line)


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../a.raw"},
        {"file": "C:\\a.raw"},
        {"file": ""},
        {"dtype": "O"},
        {"dtype": "nonsense"},
        {"size": [4, 3]},
        {"size": [0, 3, 2]},
        {"spacing": [1.0]},
        {"start": [1, 1, 1], "stored": [4, 1, 1]},
        {"start": [-1, 0, 0], "stored": [1, 1, 1]},
    ],
)
def test_a_volume_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    content = json.loads(to_line(SEGMENT))
    content["images"][0].update(change)
    with pytest.raises(LineError, match=r"segment\.images"):
        request_of(json.dumps(content).encode())


def test_a_number_that_is_not_finite_is_not_sent() -> None:
    with pytest.raises(LineError, match="not finite"):
        to_line(Progress(1, math.nan, "a"))


def test_a_region_that_is_not_finite_is_refused() -> None:
    with pytest.raises(RegionError, match="finite"):
        checked_region(Point((math.nan, 0.0, 0.0)))
    with pytest.raises(RegionError, match="finite"):
        checked_region(Box((0.0,) * 3, (math.inf, 1.0, 1.0)))


def test_a_setting_that_does_not_fit_is_named() -> None:
    with pytest.raises(UsageError, match="threads: expected a whole number"):
        checked_settings(Settings(threads="two"))  # type: ignore[arg-type]
