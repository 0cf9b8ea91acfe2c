"""A job as the client's user sees it: its state, how far it is, and what came out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import SimpleITK as sitk

from KDSegmentationLogic.errors import KDSegError

State = Literal["waiting", "running", "done", "failed", "cancelled"]

_LEAST_PROGRESS = 0.02  # of the work; from less no time can be told


@dataclass(frozen=True)
class WorkerResult:
    """As ``inference.pipeline.Result``: images on the input's grid, and how they came about.

    labels : none of a job that only warmed a model.
    seconds : by stage, in the child.
    peak_memory_gib : highest resident memory of the child meanwhile, all of it.
    """

    labels: sitk.Image | None
    device: str
    engine: str
    seconds: dict[str, float]
    peak_memory_gib: float
    probabilities: sitk.Image | None = None
    deviation: sitk.Image | None = None
    entropy: sitk.Image | None = None


@dataclass(eq=False)
class Job:
    """One piece of work; the client changes it, its user reads it.

    fraction : done, 0 to 1. text : what is being done.
    notices : sentences for the user, e.g. why the device was chosen.
    result : when done. error : when failed.
    on_change : called by the client's ``poll`` after one or more of these changed.
    """

    on_change: Callable[[Job], None] | None = None
    state: State = "waiting"
    fraction: float = 0.0
    text: str = "waiting"
    notices: list[str] = field(default_factory=list)
    result: WorkerResult | None = None
    error: KDSegError | None = None
    _first: tuple[float, float] | None = None
    _last: tuple[float, float] | None = None

    @property
    def ended(self) -> bool:
        """Nothing more will change."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def seconds_left(self) -> float | None:
        """From the pace so far; None where that cannot be told yet."""
        if self.state != "running" or self._first is None or self._last is None:
            return None
        fraction, seconds = (
            last - first for first, last in zip(self._first, self._last, strict=True)
        )
        if fraction < _LEAST_PROGRESS:
            return None
        at_report = (1 - self._last[0]) * seconds / fraction
        return max(0.0, at_report - (time.monotonic() - self._last[1]))

    def progressed(self, fraction: float, text: str) -> None:
        """Note a report of progress. Loading a model does not count as pace."""
        self.fraction, self.text = fraction, text
        if fraction > 0:
            self._last = (fraction, time.monotonic())
            self._first = self._first or self._last
