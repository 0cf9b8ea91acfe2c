"""The client of the worker: for the widget, for scripts and for tests.

    with WorkerClient() as client:
        job = client.segment([image], bundle.folder, Point((26, -21, -17)))
        client.wait(job)
        if job.error:
            raise job.error
        write_image(job.result.labels, path)

No threads, and nothing waits for the child: a timer calls ``poll`` (every 20 ms while there is
work), which takes what has arrived and tells the jobs' users.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from KDSegmentationLogic.errors import KDSegError, UsageError
from KDSegmentationLogic.inference.memory import memory_checked
from KDSegmentationLogic.inference.pipeline import Settings
from KDSegmentationLogic.inference.region import Region
from KDSegmentationLogic.worker import protocol
from KDSegmentationLogic.worker.faults import error_of_death
from KDSegmentationLogic.worker.folder import SharedFolder
from KDSegmentationLogic.worker.job import Job, State, WorkerResult
from KDSegmentationLogic.worker.process import ChildProcess, default_command
from KDSegmentationLogic.worker.protocol import Cancel, Done, Failed, Segment, Warm
from KDSegmentationLogic.worker.requests import bundle_address, checked_region, checked_settings

_PATIENCE = 0.8  # s for a child to give up; with the killing a cancel ends within a second
_FAREWELL = 1.0  # s for an idle child to end by itself
_PAUSE = 0.02  # s between two polls of ``wait`` where nothing arrives


@dataclass
class _Order:
    job: Job
    bundle: str
    settings: Any
    images: Sequence[sitk.Image] | None  # none: only warm the model
    region: Region | None = None


@dataclass
class _Running:
    job: Job
    number: int
    deadline: float | None = None  # by which a cancelled job must have ended


class WorkerClient:
    """Queues jobs and runs one at a time in a child process, which starts with the first.

    A child that died is started anew for the next job. May be used again after ``close``.

    Parameters
    ----------
    command : what to start instead of the running Python with the worker.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command
        self._folder = SharedFolder()
        self._child: ChildProcess | None = None
        self._queue: deque[_Order] = deque()
        self._running: _Running | None = None
        self._changed: list[Job] = []
        self._count = 0

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def busy(self) -> bool:
        """Whether ``poll`` has anything to do."""
        return bool(self._queue or self._running or self._changed)

    def segment(
        self,
        images: Sequence[sitk.Image],
        bundle: Path | str,
        region: Region | None = None,
        settings: Settings | None = None,
        on_change: Callable[[Job], None] | None = None,
    ) -> Job:
        """Segment one case; see ``Predictor.segment``. The images must stay as they are.

        Parameters
        ----------
        bundle : its folder, or the name of an installed one.

        What goes wrong, here or in the child, becomes the job's ``error``.
        """
        job = Job(on_change)
        return self._ordered(_Order(job, bundle_address(bundle), settings, list(images), region))

    def warm(
        self,
        bundle: Path | str,
        settings: Settings | None = None,
        on_change: Callable[[Job], None] | None = None,
    ) -> Job:
        """Load a model ahead of the first click; the job's result says on which device."""
        return self._ordered(_Order(Job(on_change), bundle_address(bundle), settings, None))

    def poll(self) -> None:
        """Take what has arrived, go on with the queue, tell the jobs' users. Never waits."""
        self._receive()
        running = self._running
        if running and running.deadline and time.monotonic() > running.deadline:
            self._drop_child()
            self._end("cancelled")
        self._advance()
        while self._changed:
            job = self._changed.pop(0)
            if job.on_change:
                job.on_change(job)

    def wait(self, job: Job, tick: Callable[[], None] | None = None) -> None:
        """Poll until the job has ended; ``tick`` is called in between. For scripts."""
        while True:
            self.poll()
            if job.ended:
                return
            if tick:
                tick()
            if self._child:
                self._child.wait_for_line(_PAUSE)

    def cancel(self, job: Job) -> None:
        """End a job within a second, if ``poll`` goes on being called.

        The child is asked; it is killed if it does not answer, and then loads the model anew.
        """
        for order in self._queue:
            if order.job is job:
                self._queue.remove(order)
                self._conclude(job, "cancelled")
                return
        running = self._running
        if running and running.job is job and running.deadline is None and self._child:
            running.deadline = time.monotonic() + _PATIENCE
            job.text = "cancelling"
            self._note(job)
            with contextlib.suppress(OSError):  # it died: that ends the job as well
                self._child.send(protocol.to_line(Cancel(running.number)))

    def close(self) -> None:
        """End the child and remove the temporary files; may be called twice.

        Jobs that have not ended are cancelled; nobody is told any more.
        """
        if self._child and not self._running:
            self._child.end(_FAREWELL)
        self._drop_child()
        if self._running:
            self._end("cancelled")
        while self._queue:
            self._conclude(self._queue.popleft().job, "cancelled")
        self._changed.clear()
        self._folder.remove()

    def _ordered(self, order: _Order) -> Job:
        self._queue.append(order)
        self._note(order.job)
        self._advance()  # not only at the next poll: that would cost a click half an interval
        return order.job

    def _advance(self) -> None:
        while self._queue and not self._running:
            order = self._queue.popleft()
            try:
                with memory_checked():
                    self._begin(order)
            except KDSegError as error:
                self._conclude(order.job, "failed", error)

    def _begin(self, order: _Order) -> None:
        self._count += 1
        try:
            line = protocol.to_line(self._request(order, self._count))
        except protocol.LineError as error:
            raise UsageError(f"The request cannot be sent: {error}.", "Correct it.") from None
        if self._child and self._child.status is not None:  # it died since the last job
            self._drop_child()
        try:
            self._started().send(line)
        except OSError:  # it died just now; once more is enough to know whether it can live
            self._drop_child()
            with contextlib.suppress(OSError):  # its death will be seen, with its reason
                self._started().send(line)
        self._running = _Running(order.job, self._count)
        order.job.state, order.job.text = "running", "starting"
        self._note(order.job)

    def _request(self, order: _Order, number: int) -> Warm | Segment:
        settings = checked_settings(order.settings)
        if order.images is None:
            return Warm(number, order.bundle, settings)
        point, box = checked_region(order.region)
        volumes = self._folder.hand_over(order.images)
        return Segment(number, order.bundle, settings, volumes, point, box)

    def _started(self) -> ChildProcess:
        """The child, started and greeted if there is none."""
        if self._child is None:
            hello = protocol.Hello(protocol.PROTOCOL, str(self._folder.path))
            self._child = ChildProcess(self._command or default_command())
            with contextlib.suppress(OSError):  # it died at once: that is seen with its reason
                self._child.send(protocol.to_line(hello))
        return self._child

    def _receive(self) -> None:
        child = self._child
        if child is None:
            return
        status = child.status  # asked for first: then all that it said before is there to read
        lines = child.lines()
        for line in lines:
            if self._child is not child:
                return
            self._answer(line, child)
        if status is not None and not lines:
            error = error_of_death(status, child.last_words())
            self._drop_child()
            self._fail(error)

    def _answer(self, line: bytes, child: ChildProcess) -> None:
        try:
            message = protocol.reply_of(line)
        except protocol.LineError as error:
            start = line[:80].decode("utf-8", errors="replace")
            self._give_up(
                f"The worker process answered {start!r}, which is no message: {error}.",
                "Run it again: the worker starts anew. If it comes back, report this sentence.",
            )
            return
        if isinstance(message, protocol.Ready):
            child.worker_pid = message.pid
            if message.protocol != protocol.PROTOCOL:
                self._give_up(
                    f"The worker process speaks version {message.protocol} of the protocol, this"
                    f" program version {protocol.PROTOCOL}.",
                    "Restart Slicer or Python: KDSegmentation was updated while it ran.",
                )
        elif isinstance(message, Failed) and message.job is None:
            self._give_up(message.cause, message.remedy)
        elif self._running and message.job == self._running.number:
            self._answer_of_job(message, self._running)

    def _answer_of_job(self, message: protocol.Reply, running: _Running) -> None:
        job = running.job
        if isinstance(message, protocol.Progress):
            job.progressed(message.fraction, "cancelling" if running.deadline else message.text)
            self._note(job)
        elif isinstance(message, protocol.Notice):
            job.notices.append(message.text)
            self._note(job)
        elif isinstance(message, Failed):
            if message.fatal:
                self._drop_child()
            self._fail(protocol.error_of(message))
        elif isinstance(message, Done) and not running.deadline:
            try:
                with memory_checked():
                    job.result = self._result(message)
            except KDSegError as error:
                self._fail(error)
            else:
                job.fraction, job.text = 1.0, "done"
                self._end("done")
        else:  # stopped, or done just before it would have been
            self._folder.clear_results()
            self._end("cancelled")

    def _result(self, done: Done) -> WorkerResult:
        try:
            images = {
                name: self._folder.take(volume)
                for name in ("labels", "probabilities", "deviation", "entropy")
                if (volume := getattr(done, name)) is not None
            }
        finally:
            self._folder.clear_results()
        labels = images.pop("labels", None)
        return WorkerResult(
            labels, done.device, done.engine, done.seconds, done.peak_memory_gib, **images
        )

    def _give_up(self, cause: str, remedy: str) -> None:
        """Of a child that cannot be understood."""
        self._drop_child()
        self._fail(KDSegError(cause, remedy))

    def _drop_child(self) -> None:
        if self._child:
            self._child.kill()
            self._child = None
            self._folder.clear_results()

    def _fail(self, error: KDSegError) -> None:
        """A job that was being cancelled has ended as its user wanted, however it ended."""
        if self._running:
            if self._running.deadline:
                self._end("cancelled")
            else:
                self._end("failed", error)

    def _end(self, state: State, error: KDSegError | None = None) -> None:
        assert self._running is not None
        job, self._running = self._running.job, None
        self._conclude(job, state, error)

    def _conclude(self, job: Job, state: State, error: KDSegError | None = None) -> None:
        job.state, job.error = state, error
        if state != "done":
            job.text = state
        self._note(job)

    def _note(self, job: Job) -> None:
        if job not in self._changed:
            self._changed.append(job)
