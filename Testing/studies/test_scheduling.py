"""Tasks run beside each other; one that fails stops none of the others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from KDSegmentationLogic.errors import Cancelled, DatasetError, TrainingError
from KDSegmentationLogic.progress import CancelToken, Monitor
from KDSegmentationLogic.studies.scheduling import Scheduler, Task


def touch(path: Path) -> None:
    path.touch()


def fail(path: Path) -> None:
    raise DatasetError(f"The case {path.name} is damaged.", "Take it off the list.")


def die(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)


def hang(path: Path) -> None:
    path.touch()
    while True:
        pass


each_place = pytest.mark.parametrize("jobs", [1, 2])


@each_place
def test_every_task_is_run_and_told(tmp_path: Path, jobs: int) -> None:
    said: list[tuple[float, str]] = []
    tasks = [Task(f"task {n}", touch, (tmp_path / str(n),)) for n in range(3)]

    Scheduler(jobs).run(tasks, Monitor(lambda fraction, text: said.append((fraction, text))))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]
    assert [round(fraction, 2) for fraction, _ in said] == [0.33, 0.67, 1.0]
    assert {text for _, text in said} == {"task 0: done", "task 1: done", "task 2: done"}


@each_place
def test_a_task_that_fails_is_named_after_the_others_are_done(tmp_path: Path, jobs: int) -> None:
    tasks = [
        Task("bad", fail, (tmp_path / "case7",)),
        Task("good", touch, (tmp_path / "good",)),
    ]

    with pytest.raises(TrainingError) as found:
        Scheduler(jobs).run(tasks, Monitor())

    assert (tmp_path / "good").is_file()
    assert found.value.cause == (
        "1 task(s) failed; what the others made is kept. bad: The case case7 is damaged."
    )
    assert found.value.remedy == "Take it off the list. Then run the study again."


def test_a_process_that_was_killed_is_said_in_words(tmp_path: Path) -> None:
    tasks = [Task("first", die, (tmp_path,)), Task("second", die, (tmp_path,))]

    with pytest.raises(TrainingError, match="first: its process ended without an answer, killed"):
        Scheduler(2).run(tasks, Monitor())


def test_a_cancel_ends_the_processes(tmp_path: Path) -> None:
    token = CancelToken()
    tasks = [Task(str(n), hang, (tmp_path / str(n),)) for n in range(2)]

    class WhenBothRun(Monitor):
        def check(self) -> None:
            if len(list(tmp_path.iterdir())) == 2:
                token.cancel()
            super().check()

    with pytest.raises(Cancelled):
        Scheduler(2).run(tasks, WhenBothRun(cancel=token))


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    Scheduler(address=str(tmp_path / "no such scheduler")).run([], Monitor())
