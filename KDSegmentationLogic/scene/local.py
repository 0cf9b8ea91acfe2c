"""Requests run in this process, for tests and for a Slicer whose child process does not start.

It answers like the worker's client, but each request is over when ``segment`` returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.errors import Cancelled, KDSegError
from KDSegmentationLogic.inference.pipeline import Settings
from KDSegmentationLogic.progress import Monitor

if TYPE_CHECKING:
    from KDSegmentationLogic.inference.pipeline import Predictor
    from KDSegmentationLogic.inference.region import Region

_KEPT = 2  # a student and its ensemble


@dataclass
class LocalJob:
    """One request; see ``queue.Job``."""

    state: str = "running"
    fraction: float = 0.0
    text: str = ""
    seconds_left: float | None = None
    notices: list[str] = field(default_factory=list)
    result: Any = None
    error: KDSegError | None = None


class Predictors:
    """Loaded models; the last two are kept."""

    def __init__(self) -> None:
        self._kept: deque[Predictor] = deque()

    def get(self, bundle: Bundle, settings: Settings, monitor: Monitor) -> Predictor:
        """The model, ready; loaded where it is not one of the last two."""
        from KDSegmentationLogic.inference.pipeline import Predictor

        for predictor in self._kept:
            # Equal bundles have equal SHA-256 of their weights: one replaced meanwhile has not.
            if (predictor.bundle, predictor.settings) == (bundle, settings):
                self._kept.remove(predictor)
                break
        else:
            # Before the new one is loaded, so that there are never three in memory.
            while len(self._kept) >= _KEPT:
                self._kept.popleft()
            predictor = Predictor(bundle, settings, monitor)
        self._kept.append(predictor)
        return predictor

    def clear(self) -> None:
        """Let go of all models."""
        self._kept.clear()


class LocalClient:
    """Runs requests at once; ``monitor`` hears of their progress and can cancel them."""

    busy = False

    def __init__(self, predictors: Predictors, monitor: Monitor | None = None) -> None:
        self._predictors = predictors
        self._monitor = monitor or Monitor()

    def segment(
        self,
        images: Sequence[sitk.Image],
        bundle: Path,
        region: Region | None,
        settings: Settings,
    ) -> LocalJob:
        """Run the request; the job has ended when this returns."""

        def run(monitor: Monitor) -> Any:
            predictor = self._predictors.get(load_bundle(bundle), settings, monitor)
            return predictor.segment(images, region, monitor)

        return self._run(run)

    def warm(self, bundle: Path, settings: Settings) -> LocalJob:
        """Load the model."""
        return self._run(lambda m: self._predictors.get(load_bundle(bundle), settings, m))

    def poll(self) -> None:
        """Nothing can have arrived."""

    def wait(self, job: LocalJob, tick: Callable[[], None] | None = None) -> None:
        """Every job has ended."""

    def cancel(self, job: LocalJob) -> None:
        """Every job has ended."""

    def close(self) -> None:
        """Let go of the models."""
        self._predictors.clear()

    def _run(self, work: Callable[[Monitor], Any]) -> LocalJob:
        job = LocalJob()

        def notice(text: str) -> None:
            job.notices.append(text)
            self._monitor.notice(text)

        def progress(fraction: float, text: str) -> None:
            job.fraction, job.text = fraction, text
            self._monitor.report(fraction, text)

        try:
            job.result = work(Monitor(progress, notice, self._monitor.cancel))
            job.state = "done"
        except Cancelled:
            job.state = "cancelled"
        except KDSegError as error:
            job.state, job.error = "failed", error
        return job
