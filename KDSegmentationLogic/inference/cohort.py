"""Many cases through one loaded model, with reading and writing beside the inference.

While a case is in the network, the next is read and the last is written, each in a thread of
its own. So at most three cases are in memory, of which two are only images.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.errors import Cancelled
from KDSegmentationLogic.inference.pipeline import GIB, Predictor, Result, Settings
from KDSegmentationLogic.progress import Monitor

Record = dict[str, Any]

_LARGEST_SHARE = 0.25  # of the memory limit, for the images of the case that is read ahead


class Item(Protocol):
    """One case: where its images come from, what is done, where the results go. Picklable."""

    @property
    def name(self) -> str: ...

    def size_in_memory(self) -> int:
        """Bytes of its images in memory, about; 0 if unknown. Raises nothing."""
        ...

    def read(self, monitor: Monitor) -> Sequence[sitk.Image]:
        """The images, one a channel."""
        ...

    def segment(
        self, predictor: Predictor, images: Sequence[sitk.Image], monitor: Monitor
    ) -> Result: ...

    def write(self, result: Result) -> Record:
        """Write the files, each whole or not at all; what is to be told of them, for JSON."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a case ended: with a record or with an error."""

    number: int
    record: Record | None = None
    error: Exception | None = None


Tell = Callable[[Outcome], None]


def run_items(
    predictor: Predictor,
    items: Iterable[tuple[int, Item]],
    monitor: Monitor,
    tell: Tell,
    total: int | None = None,
) -> None:
    """Do all cases, and tell each as soon as its files are written or it has failed.

    A case that fails does not stop the others. Where this is cancelled, or anything else goes
    wrong, the case that is just being written is finished and told before.

    Parameters
    ----------
    items : with their numbers; the one after the case in work is taken early.
    total : how many they are; without it no progress is reported.

    Raises
    ------
    Cancelled : the monitor's token was set.
    """
    with _Pipeline(predictor, monitor, tell) as pipeline:
        waiting = iter(items)
        upcoming = next(waiting, None)
        begun = 0
        while upcoming is not None:
            monitor.check()
            images = pipeline.images_of(upcoming)
            current, upcoming = upcoming, next(waiting, None)
            if images is not None:
                part = monitor.part(begun / total, (begun + 1) / total) if total else None
                pipeline.segment(current, images, upcoming, part or _silent(monitor))
            begun += 1


class _Pipeline:
    """A thread that reads, one that writes, and the inference in the caller's."""

    def __init__(self, predictor: Predictor, monitor: Monitor, tell: Tell) -> None:
        self._predictor = predictor
        self._settings = predictor.settings
        self._monitor = monitor
        self._tell = tell
        self._reader = ThreadPoolExecutor(1, "reading")
        self._writer = ThreadPoolExecutor(1, "writing")
        self._read: tuple[int, Future[Sequence[sitk.Image]]] | None = None
        self._writing: tuple[int, Future[Record]] | None = None

    def __enter__(self) -> _Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._reader.shutdown(wait=True, cancel_futures=True)
            self._finish_writing()
        finally:
            self._writer.shutdown()
            self._predictor.settings = self._settings

    def images_of(self, item: tuple[int, Item]) -> Sequence[sitk.Image] | None:
        """What was read ahead, or is read now; None where it cannot be read."""
        number, case = item
        try:
            if self._read is not None and self._read[0] == number:
                return self._read[1].result()
            return case.read(_silent(self._monitor))
        except Cancelled:
            raise
        except Exception as error:
            self._tell(Outcome(number, error=error))
            return None
        finally:
            self._read = None

    def segment(
        self,
        item: tuple[int, Item],
        images: Sequence[sitk.Image],
        upcoming: tuple[int, Item] | None,
        monitor: Monitor,
    ) -> None:
        """Do one case while the upcoming one is read and the last one is written."""
        number, case = item
        self._predictor.settings = self._settings
        if upcoming is not None:
            self._read_ahead(*upcoming)
        try:
            monitor.report(0.0, case.name)
            result = case.segment(self._predictor, images, monitor)
        except Cancelled:
            raise
        except Exception as error:
            self._finish_writing()
            self._tell(Outcome(number, error=error))
            return
        self._finish_writing()
        self._writing = number, self._writer.submit(case.write, result)

    def _read_ahead(self, number: int, case: Item) -> None:
        """Begin to read, and keep the memory for it; a case too large for that is read later."""
        limit = self._settings.memory_limit_gib
        if limit is not None:
            needed = case.size_in_memory() / GIB
            if needed > _LARGEST_SHARE * limit:
                return
            self._predictor.settings = dataclasses.replace(
                self._settings, memory_limit_gib=limit - needed
            )
        self._read = number, self._reader.submit(case.read, _silent(self._monitor))

    def _finish_writing(self) -> None:
        if self._writing is None:
            return
        (number, future), self._writing = self._writing, None
        try:
            outcome = Outcome(number, record=future.result())
        except Exception as error:
            outcome = Outcome(number, error=error)
        self._tell(outcome)


def _silent(monitor: Monitor) -> Monitor:
    """Notices and the cancel, but no progress."""
    return Monitor(None, monitor.notice, monitor.cancel)


_ALONE = threading.Lock()


def run_one(bundle: Path, settings: Settings, item: Item) -> Record:
    """One case on a worker of a cluster, which keeps the model for the next one.

    Several threads of a worker read and write beside each other; one at a time is in the network.
    """
    monitor = Monitor()
    images = item.read(monitor)
    with _ALONE:
        result = item.segment(_kept(bundle, settings), images, monitor)
    return item.write(result)


@lru_cache(maxsize=1)
def _kept(bundle: Path, settings: Settings) -> Predictor:
    return Predictor(load_bundle(bundle), settings)
