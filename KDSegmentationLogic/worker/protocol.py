"""What client and child say to each other: one JSON object a line, ASCII, checked on arrival.

Client to child: ``Hello`` first, then ``Warm``, ``Segment``, ``Cancel``; the end of the stream
means the client is gone. Child to client: ``Ready``, then of each job any number of
``Progress`` and ``Notice`` and one of ``Done``, ``Failed``, ``Stopped``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from KDSegmentationLogic import errors
from KDSegmentationLogic.bundles.decoding import DecodingError, decode, encode
from KDSegmentationLogic.bundles.jsonfile import parse_json
from KDSegmentationLogic.errors import KDSegError
from KDSegmentationLogic.inference.pipeline import Settings
from KDSegmentationLogic.inference.region import Box, Point
from KDSegmentationLogic.worker.volumes import Volume

PROTOCOL = 1
"""Raised by one where a message changes: the two sides must be of one installation."""


@dataclass(frozen=True)
class Hello:
    """``folder`` is the private temporary folder in which volumes are handed over."""

    protocol: int
    folder: str


@dataclass(frozen=True)
class Warm:
    """Load a model. ``bundle`` is its folder, absolute, or the name of an installed one."""

    job: int
    bundle: str
    settings: Settings


@dataclass(frozen=True)
class Segment:
    """Segment one case; a point, a box or neither (RAS mm)."""

    job: int
    bundle: str
    settings: Settings
    images: tuple[Volume, ...]
    point: Point | None = None
    box: Box | None = None


@dataclass(frozen=True)
class Cancel:
    """Give up a job, which may have ended meanwhile."""

    job: int


@dataclass(frozen=True)
class Ready:
    """``pid`` is the child's own: what was started may be a launcher with the child below it."""

    protocol: int
    pid: int


@dataclass(frozen=True)
class Progress:
    """``fraction`` done, 0 to 1, and what is being done."""

    job: int
    fraction: float
    text: str


@dataclass(frozen=True)
class Notice:
    """One sentence for the user that is no error."""

    job: int
    text: str


@dataclass(frozen=True)
class Done:
    """A job's result, as ``inference.pipeline.Result``; without volumes for ``Warm``."""

    job: int
    device: str
    engine: str
    seconds: dict[str, float]
    peak_memory_gib: float
    labels: Volume | None = None
    probabilities: Volume | None = None
    deviation: Volume | None = None
    entropy: Volume | None = None


@dataclass(frozen=True)
class Failed:
    """A ``KDSegError``; ``fatal``: the child must be replaced, e.g. after a fault of the GPU.

    Without ``job`` the request itself could not be understood.
    """

    error: str
    cause: str
    remedy: str
    job: int | None = None
    fatal: bool = False


@dataclass(frozen=True)
class Stopped:
    """The job was cancelled."""

    job: int


Request = Hello | Warm | Segment | Cancel
Reply = Ready | Progress | Notice | Done | Failed | Stopped

_REQUESTS: dict[str, type] = {k.__name__.lower(): k for k in (Hello, Warm, Segment, Cancel)}
_REPLIES: dict[str, type] = {
    k.__name__.lower(): k for k in (Ready, Progress, Notice, Done, Failed, Stopped)
}


class LineError(ValueError):
    """A line is no message; says why in words that end without a stop."""


def to_line(message: Request | Reply) -> bytes:
    """The message as one line. Raises ``LineError`` for numbers that are not finite."""
    content = {"kind": type(message).__name__.lower(), **encode(message)}
    try:
        return json.dumps(content, allow_nan=False).encode("ascii") + b"\n"
    except ValueError:
        raise LineError("it holds a number that is not finite") from None


def request_of(line: bytes) -> Request:
    """The client's message in ``line``. Raises ``LineError``."""
    return _message(line, _REQUESTS)


def reply_of(line: bytes) -> Reply:
    """The child's message in ``line``. Raises ``LineError``."""
    return _message(line, _REPLIES)


def failure_of(error: KDSegError, job: int | None, fatal: bool = False) -> Failed:
    """The message that brings ``error`` to the other side."""
    return Failed(error.kind, error.cause, error.remedy, job, fatal)


def error_of(failed: Failed) -> KDSegError:
    """The error as it was raised on the other side, of the same class."""
    return _KINDS.get(failed.error, KDSegError)(failed.cause, failed.remedy)


_KINDS: dict[str, type[KDSegError]] = {
    found.kind: found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, KDSegError)
}


def _message(line: bytes, kinds: dict[str, type]):  # type: ignore[no-untyped-def]
    try:
        content = parse_json(line)
        kind = content.pop("kind", None)
        if not isinstance(kind, str) or kind not in kinds:
            raise LineError(f"its kind {kind!r} is unknown")
        return decode(kinds[kind], content, kind)
    except LineError:
        raise
    except DecodingError as error:
        raise LineError(f"key {error.where}: {error.problem}") from None
    except ValueError as error:
        raise LineError(str(error)) from None
