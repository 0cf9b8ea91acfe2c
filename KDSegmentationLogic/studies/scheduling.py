"""Independent tasks, here one after another, in processes of this machine, or on a Dask cluster.

A task is a module's function and plain arguments, and leaves its result in the run's folder,
which a cluster's workers must share. One that fails does not stop the others.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from KDSegmentationLogic.errors import KDSegError, TrainingError
from KDSegmentationLogic.progress import Monitor

_PATIENCE = "20s"  # a scheduler may be starting just now


@dataclass(frozen=True)
class Task:
    """``function(*arguments)``, in this process with a ``monitor`` besides; ``name`` is shown.

    version : of what it makes. All clients of a cluster share the result of one name, arguments
        and version, and of nothing less.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    version: str = ""


@dataclass(frozen=True)
class Scheduler:
    """Where tasks run.

    jobs : tasks beside each other on this machine.
    address : of a Dask scheduler (``tcp://host:8786``), or of its file; then ``jobs`` is unused.
    """

    jobs: int = 1
    address: str | None = None

    def run(self, tasks: Sequence[Task], monitor: Monitor) -> None:
        """Run all tasks to their end.

        Raises
        ------
        TrainingError : some failed; the others are done.
        """
        if not tasks:
            return
        if self.address is not None:
            outcomes = _on_cluster(self.address, tasks, monitor)
        elif self.jobs > 1:
            outcomes = _in_processes(min(self.jobs, len(tasks)), tasks, monitor)
        else:
            outcomes = _here(tasks, monitor)
        failed = {}
        for done, (task, error) in enumerate(outcomes, 1):
            if error is not None:
                failed[task.name] = error
            monitor.report(done / len(tasks), f"{task.name}: {'failed' if error else 'done'}")
        _require_none(failed)


Outcomes = Iterator[tuple[Task, BaseException | None]]


def _here(tasks: Sequence[Task], monitor: Monitor) -> Outcomes:
    for number, task in enumerate(tasks):
        monitor.check()
        part = monitor.part(number / len(tasks), (number + 1) / len(tasks))
        try:
            task.function(*task.arguments, monitor=part)
            yield task, None
        except KDSegError as error:
            yield task, error


def _in_processes(jobs: int, tasks: Sequence[Task], monitor: Monitor) -> Outcomes:
    with _workers(jobs) as pool:
        futures = {pool.submit(task.function, *task.arguments): task for task in tasks}
        pending = set(futures)
        while pending:
            done, pending = concurrent.futures.wait(pending, timeout=1.0)
            monitor.check()
            for future in done:
                yield futures[future], future.exception()


@contextlib.contextmanager
def _workers(count: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Processes that end with the block: an error or a cancel does not wait for a training."""
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = concurrent.futures.ProcessPoolExecutor(
        count, mp_context=context, initializer=_end_with_parent
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    pool.shutdown()


def _end_with_parent() -> None:
    """Let this process end when the one that started it does, also when that was killed.

    Otherwise it would train on, beside the same arm of the study that was begun again.
    """
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)  # sys.exit would end this thread alone

    threading.Thread(target=wait, daemon=True).start()


def _on_cluster(address: str, tasks: Sequence[Task], monitor: Monitor) -> Outcomes:
    for task, future in on_cluster(address, tasks, monitor):
        yield task, future.exception()


def on_cluster(address: str, tasks: Sequence[Task], monitor: Monitor) -> Iterator[tuple[Task, Any]]:
    """Each task with its future of Dask, as it ends.

    A task whose worker is lost is begun again on another, from its checkpoint if it has one.
    Names must differ.

    Raises
    ------
    TrainingError : no scheduler answers, or the package distributed is missing.
    """
    try:
        from distributed import Client, wait
    except ImportError:
        raise TrainingError(
            "The package distributed is not installed.",
            "Install KDSegmentation with the extra cluster.",
        ) from None
    try:
        client = Client(timeout=_PATIENCE, set_as_default=False, **_where(address))
    except (OSError, ValueError, TimeoutError) as error:
        raise TrainingError(
            f"No Dask scheduler answers at {address} ({type(error).__name__}).",
            "Start one with 'dask scheduler', and workers with 'dask worker ADDRESS'.",
        ) from error
    with client, client.as_current():  # wait() takes the current client
        # not pure: the same call is to be made again where its result has gone
        futures = {
            client.submit(task.function, *task.arguments, key=_key(task), pure=False): task
            for task in tasks
        }
        pending = set(futures)
        while pending:
            with contextlib.suppress(TimeoutError):
                wait(list(pending), timeout=1.0, return_when="FIRST_COMPLETED")
            monitor.check()
            done = {future for future in pending if future.done()}
            pending -= done
            for future in done:
                yield futures[future], future


def _key(task: Task) -> str:
    """Of its result on the cluster, where another study may train an arm of the same name."""
    from dask.base import tokenize

    return f"{task.name} {tokenize(task.version, task.arguments)}"


def _where(address: str) -> dict[str, str]:
    """How Dask's client is told. For a file that is not there it would wait for ever."""
    if "://" in address:
        return {"address": address}
    if not Path(address).is_file():
        raise FileNotFoundError(address)
    return {"scheduler_file": address}


def _require_none(failed: dict[str, BaseException]) -> None:
    if not failed:
        return
    reasons = "; ".join(
        f"{name}: {error.cause if isinstance(error, KDSegError) else _described(error)}"
        for name, error in failed.items()
    )
    first = next(iter(failed.values()))
    remedy = first.remedy if isinstance(first, KDSegError) else "Correct the cause."
    raise TrainingError(
        f"{len(failed)} task(s) failed; what the others made is kept. {reasons}",
        f"{remedy} Then run the study again.",
    ) from first


def was_killed(error: BaseException) -> bool:
    """Whether a task's process ended without words of its own."""
    return type(error).__name__ in ("BrokenProcessPool", "KilledWorker")


def _described(error: BaseException) -> str:
    if was_killed(error):
        return "its process ended without an answer, killed or out of memory"
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
