"""Tasks one after another: each asks a worker for results and puts them into the scene.

The work of a task is a generator: it yields a ``Request``, gets the worker's result back,
yields the next one if there is one, and returns the IDs of the nodes it made. Nothing
waits in it, so one timer drives all.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import SimpleITK as sitk
import slicer

from KDSegmentationLogic.errors import Cancelled, KDSegError, SceneError
from KDSegmentationLogic.inference.pipeline import Settings
from KDSegmentationLogic.inference.region import Region
from KDSegmentationLogic.scene.tasks import Held, State, Task


@dataclass(frozen=True)
class Request:
    """Images of one case (LPS mm, one grid) to be segmented with a bundle."""

    images: Sequence[sitk.Image]
    bundle: Path
    region: Region | None
    settings: Settings


Work = Generator[Request, Any, tuple[str, ...]]


class Job(Protocol):
    """What a client knows of one request; ``result`` once it is done."""

    state: str
    fraction: float
    text: str
    seconds_left: float | None
    notices: list[str]
    result: Any
    error: KDSegError | None


class Client(Protocol):
    """What runs requests: the worker's client, or this process (``local.LocalClient``)."""

    @property
    def busy(self) -> bool: ...

    def segment(
        self, images: Sequence[sitk.Image], bundle: Path, region: Region | None, settings: Settings
    ) -> Any: ...

    def warm(self, bundle: Path, settings: Settings) -> Any: ...

    def poll(self) -> None: ...

    def wait(self, job: Any, tick: Callable[[], None] | None = None) -> None: ...

    def cancel(self, job: Any) -> None: ...

    def close(self) -> None: ...


@dataclass(eq=False)
class _Entry:
    task: Task
    work: Work
    client: Client
    needs: list[Held]
    steps: int
    step: int = 0
    job: Job | None = None
    told: int = 0
    began: float = field(default=0.0)


class Queue:
    """Runs one task at a time, in the order in which they were added."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self._ended: deque[Task] = deque()
        self._busy = False

    def add(
        self,
        task: Task,
        work: Work,
        client: Client,
        needs: Sequence[slicer.vtkMRMLNode],
        steps: int = 1,
    ) -> None:
        """Start the task, or let it wait for those before it.

        Parameters
        ----------
        needs : nodes without which the result would have no place: where one is removed, the
            task is cancelled. steps : how many requests the work makes.
        """
        self._entries.append(_Entry(task, work, client, [Held(node) for node in needs], steps))
        self.poll()

    def refuse(self, task: Task, error: KDSegError) -> None:
        """End a task that cannot even begin."""
        task.error = error
        self._end(task, "failed", str(error))
        if not self._busy:
            self._tell()

    def tasks(self) -> list[Task]:
        """Those that have not ended."""
        return [entry.task for entry in self._entries]

    def poll(self) -> None:
        """Take in what the clients have; never waits. Calls from within are ignored."""
        if self._busy:
            return
        self._busy = True
        try:
            self._poll()
        finally:
            self._busy = False
        self._tell()

    def wait(self, task: Task, tick: Callable[[], None]) -> None:
        """Poll until the task has ended. ``tick`` is called meanwhile; if it raises, or the user
        interrupts, the task is cancelled, and what runs it has let go of it."""
        try:
            while not task.ended:
                self.poll()
                job = self._entries[0].job if self._entries else None
                if job is not None and not task.ended:
                    self._entries[0].client.wait(job, tick)
        except BaseException:
            running = [one for one in self._entries if one.task is task and one.job is not None]
            self.cancel(task)
            for entry in running:
                entry.client.wait(entry.job)
            raise

    def cancel(self, task: Task, reason: str = "cancelled") -> None:
        """End a task that has not ended; the scene is as if it had not begun."""
        for entry in self._entries:
            if entry.task is task:
                self._entries.remove(entry)
                if entry.job is not None:
                    entry.client.cancel(entry.job)
                entry.work.close()
                self._end(task, "cancelled", reason)
                break
        if not self._busy:
            self._tell()

    def _poll(self) -> None:
        self._drop_those_without_a_place()
        while self._entries:
            entry = self._entries[0]
            entry.client.poll()
            if entry.job is None:
                self._advance(entry, None)
                continue
            self._report(entry)
            if entry.job.state == "done":
                self._advance(entry, entry.job.result)
            elif entry.job.state == "failed":
                self._finish(entry, "failed", error=entry.job.error)
            elif entry.job.state == "cancelled":
                self._finish(entry, "cancelled")
            else:
                return

    def _drop_those_without_a_place(self) -> None:
        for entry in list(self._entries):
            gone = [held.name for held in entry.needs if held.get() is None]
            if gone:
                self.cancel(entry.task, f"cancelled: {gone[0]} was removed from the scene")

    def _advance(self, entry: _Entry, result: Any) -> None:
        """Let the work go on with a result to its next request, or to its end."""
        task = entry.task
        if entry.job is None:
            task.state, task.text = "running", "preparing"
            entry.began = time.monotonic()
        else:
            entry.step += 1
            entry.job, entry.told = None, 0
        try:
            with nothing_left_on_failure():
                request = entry.work.send(result)
            entry.job = entry.client.segment(
                request.images, request.bundle, request.region, request.settings
            )
        except StopIteration as finished:
            task.node_ids = finished.value
            self._finish(entry, "done")
        except Cancelled:
            self._finish(entry, "cancelled")
        except KDSegError as error:
            self._finish(entry, "failed", error=error)
        except Exception as bug:
            self._finish(entry, "failed", error=_of_bug(bug))

    def _report(self, entry: _Entry) -> None:
        job, task = entry.job, entry.task
        assert job is not None
        task.notices.extend(job.notices[entry.told :])
        entry.told = len(job.notices)
        task.fraction = max(task.fraction, (entry.step + job.fraction) / entry.steps)
        task.text = job.text
        if entry.steps == 1:
            task.seconds_left = job.seconds_left
        elif task.fraction > 0.05:
            passed = time.monotonic() - entry.began
            task.seconds_left = passed * (1 - task.fraction) / task.fraction

    def _finish(self, entry: _Entry, state: State, error: KDSegError | None = None) -> None:
        if entry not in self._entries:  # cancelled while it ran in this process
            return
        self._entries.remove(entry)
        entry.work.close()
        entry.task.error = error
        self._end(entry.task, state, str(error) if error else state)

    def _end(self, task: Task, state: State, text: str) -> None:
        task.state, task.text, task.seconds_left = state, text, None
        if state == "done":
            task.fraction = 1.0
        self._ended.append(task)

    def _tell(self) -> None:
        """Call back for what has ended: not before, since a callback may add and wait."""
        while self._ended:
            task = self._ended.popleft()
            if task.on_done is not None:
                task.on_done(task)


@contextlib.contextmanager
def nothing_left_on_failure() -> Iterator[None]:
    """Remove the nodes that the block added, where it fails; ``StopIteration`` is no failure."""
    before = _node_ids()
    try:
        yield
    except StopIteration:
        raise
    except BaseException:
        for node_id in _node_ids() - before:
            node = slicer.mrmlScene.GetNodeByID(node_id)
            if node is not None:  # a display node goes with its node
                slicer.mrmlScene.RemoveNode(node)
        raise


def _node_ids() -> set[str]:
    nodes = slicer.mrmlScene.GetNodes()
    return {nodes.GetItemAsObject(n).GetID() for n in range(nodes.GetNumberOfItems())}


def _of_bug(bug: Exception) -> KDSegError:
    error = SceneError(
        f"The run ended in an error of the program ({type(bug).__name__}: {bug}).",
        "The scene is as it was. Please report what the Python console shows.",
    )
    error.__cause__ = bug
    return error
