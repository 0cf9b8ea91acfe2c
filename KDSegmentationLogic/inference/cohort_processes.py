"""Many cases in several processes, each with its own model and its share of the machine.

A process that dies (killed, out of memory, a fault in a library) does not stop the others: what
it had in hand is done again, each case alone in a fresh process, and only the case with which
that one dies as well is given up.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.errors import Cancelled, KDSegError, OutOfMemoryError
from KDSegmentationLogic.inference.cohort import Item, Outcome, Tell, run_items
from KDSegmentationLogic.inference.cores import available_cores
from KDSegmentationLogic.inference.pipeline import GIB, Predictor, Settings
from KDSegmentationLogic.progress import CancelToken, Monitor

_GRACE_SECONDS = 5.0
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Lane:
    """What one process runs with. ``visible`` : the one GPU that it sees, as CUDA calls it."""

    settings: Settings
    visible: str | None = None


def lanes_of(settings: Settings, jobs: int | None, devices: Sequence[str]) -> list[Lane]:
    """The processes to start; none where one process, this one, does it all.

    Parameters
    ----------
    jobs : processes; none: one, or one a GPU.
    devices : the GPUs, ``cuda:0`` and so on; empty for the CPU.
    """
    count = jobs or max(1, len(devices))
    if count == 1:
        return []
    limit = settings.memory_limit_gib or psutil.virtual_memory().available / 2 / GIB
    threads = settings.threads or max(1, available_cores() // count)
    shared = dataclasses.replace(settings, threads=threads, memory_limit_gib=limit / count)
    if not devices:
        return [Lane(shared)] * count
    names = [_as_cuda_calls_it(device) for device in devices]
    own = dataclasses.replace(shared, device="cuda")
    return [Lane(own, names[number % len(names)]) for number in range(count)]


def gpus(device: str) -> list[str]:
    """The GPUs of this machine that ``--device`` lets be used, where there are several."""
    if device not in ("auto", "cuda"):
        return []
    try:
        import torch
    except ImportError:
        return []
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"cuda:{number}" for number in range(count)] if count > 1 else []


def _as_cuda_calls_it(device: str) -> str:
    """Its number, among those that this process was left to see."""
    number = device.partition(":")[2] or "0"
    seen = [name.strip() for name in os.environ.get(_VISIBLE, "").split(",") if name.strip()]
    return seen[int(number)] if int(number) < len(seen) else number


def run_in_processes(
    bundle: Path,
    lanes: Sequence[Lane],
    items: Sequence[tuple[int, Item]],
    monitor: Monitor,
    tell: Tell,
) -> None:
    """As ``run_items``, in a process a lane, in no order.

    Raises
    ------
    KDSegError : a process cannot load the model.
    Cancelled : the monitor's token was set.
    """
    crew = _Crew(bundle, list(lanes)[: len(items)], items, monitor, tell)
    try:
        crew.run()
    finally:
        crew.stop()


@dataclass
class _Worker:
    """A process, and the cases that it has in hand. ``alone`` : it gets one only."""

    lane: Lane
    process: BaseProcess
    pipe: Connection
    life: Connection
    queue: deque[tuple[int, Item]]
    alone: bool
    asked: bool = False
    hands: list[tuple[int, Item]] = field(default_factory=list)


class _Crew:
    """The processes of one call; each asks for a case when it can read one ahead."""

    def __init__(
        self,
        bundle: Path,
        lanes: Sequence[Lane],
        items: Sequence[tuple[int, Item]],
        monitor: Monitor,
        tell: Tell,
    ) -> None:
        self._bundle = bundle
        self._lanes = lanes
        self._waiting = deque(items)
        self._suspects: deque[tuple[int, Item]] = deque()
        self._monitor = monitor
        self._tell = tell
        self._workers: list[_Worker] = []

    def run(self) -> None:
        for lane in self._lanes:
            self._start(lane, self._waiting)
        while self._workers or self._suspects:
            self._monitor.check()
            busy = [worker.lane for worker in self._workers]
            for lane in self._lanes[len(busy) :]:
                if self._suspects:
                    self._start(lane, deque([self._suspects.popleft()]), alone=True)
            self._listen(0.2)

    def stop(self) -> None:
        """Let all end what they are writing; then end them."""
        self._waiting.clear()
        for worker in self._workers:
            worker.life.close()  # which they notice
        last = time.monotonic() + _GRACE_SECONDS
        with contextlib.suppress(KDSegError):
            while self._workers and time.monotonic() < last:
                self._listen(0.2, ending=True)
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()

    def _listen(self, seconds: float, ending: bool = False) -> None:
        ready = connection.wait([worker.pipe for worker in self._workers], seconds)
        for worker in [worker for worker in self._workers if worker.pipe in ready]:
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                self._ended(worker, ending)
            else:
                self._hear(worker, *message)

    def _start(self, lane: Lane, queue: deque[tuple[int, Item]], alone: bool = False) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        ending, life = context.Pipe(duplex=False)
        arguments = (theirs, ending, self._bundle, lane)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        ending.close()
        self._workers.append(_Worker(lane, process, ours, life, queue, alone))

    def _hear(self, worker: _Worker, kind: str, content: Any) -> None:
        if kind == "notice":
            self._monitor.notice(content)
        elif kind == "useless":
            raise content
        elif kind == "outcome":
            worker.hands = [item for item in worker.hands if item[0] != content.number]
            self._tell(content)
        elif kind == "want":
            worker.asked = True
            item = worker.queue.popleft() if worker.queue else None
            if item is not None:
                worker.hands.append(item)
            with contextlib.suppress(OSError):  # it died; the end of its pipe will tell
                worker.pipe.send(item)

    def _ended(self, worker: _Worker, ending: bool) -> None:
        """A process that is done leaves nothing in hand; one that died may."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.life.close()
        worker.process.join()
        if ending:
            return
        if not worker.asked:
            raise OutOfMemoryError(
                "A process ended while it loaded the model, killed or out of memory.",
                "Use fewer --jobs, or close other programs.",
            )
        if worker.alone:
            for number, _ in worker.hands:
                self._tell(Outcome(number, error=_died()))
            return
        self._suspects.extend(worker.hands)
        if self._waiting:
            self._start(worker.lane, self._waiting)


def _died() -> KDSegError:
    return OutOfMemoryError(
        "The process that segmented it ended twice without an answer, killed or out of memory.",
        "Use fewer --jobs, close other programs, or segment this case by itself.",
    )


def _serve(pipe: Connection, life: Connection, bundle: Path, lane: Lane) -> None:
    """What a process does: load the model, then ask for cases until there are none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends this one
    if lane.visible is not None:
        os.environ[_VISIBLE] = lane.visible  # CUDA looks at it when it is first used
    sending = threading.Lock()
    token = CancelToken()

    def say(kind: str, content: Any = None) -> None:
        with sending:
            pipe.send((kind, content))

    def arriving() -> Iterator[tuple[int, Item]]:
        while True:
            say("want")
            item = pipe.recv()
            if item is None:
                return
            yield item

    def tell(outcome: Outcome) -> None:
        say("outcome", dataclasses.replace(outcome, error=_portable(outcome.error)))

    threading.Thread(target=_watch, args=(life, token), daemon=True).start()
    with contextlib.suppress(Cancelled, EOFError, OSError):  # the parent wants no more
        monitor = Monitor(notice=lambda text: say("notice", text), cancel=token)
        try:
            predictor = Predictor(load_bundle(bundle), lane.settings, monitor)
        except Exception as error:
            say("useless", _portable(error))
            return
        run_items(predictor, arriving(), monitor, tell)


def _watch(life: Connection, token: CancelToken) -> None:
    """Cancel when the parent has closed its end, or is no more."""
    with contextlib.suppress(EOFError, OSError):
        life.recv()
    token.cancel()


def _portable(error: Exception | None) -> Exception | None:
    """As it can be pickled; not every exception of a library can."""
    if error is None or isinstance(error, (KDSegError, OSError)):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
