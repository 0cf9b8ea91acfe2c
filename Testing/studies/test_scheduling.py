"""Tasks run beside each other; one that fails stops none of the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from KDSegmentationLogic.errors import Cancelled, DatasetError, TrainingError
from KDSegmentationLogic.progress import CancelToken, Monitor
from KDSegmentationLogic.studies.scheduling import Scheduler, Task, on_cluster
from Testing.waiting import until


def touch(path: Path, monitor: Monitor | None = None) -> None:
    if monitor is not None:
        monitor.report(0.5, f"touch {path.name}")
    path.touch()


def fail(path: Path, **_: Monitor) -> None:
    raise DatasetError(f"The case {path.name} is damaged.", "Take it off the list.")


def die(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)


def hang(path: Path) -> None:
    path.write_text(str(os.getpid()), "utf-8")
    while True:
        pass


STUDY_TO_BE_KILLED = """
import sys
from pathlib import Path
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.scheduling import Scheduler, Task
from Testing.studies.test_scheduling import hang
if __name__ == "__main__":
    tasks = [Task(name, hang, (Path(sys.argv[1]) / name,)) for name in "ab"]
    Scheduler(2).run(tasks, Monitor())
"""


each_place = pytest.mark.parametrize("jobs", [1, 2])


@each_place
def test_every_task_is_run_and_told(tmp_path: Path, jobs: int) -> None:
    said: list[tuple[float, str]] = []
    tasks = [Task(f"task {n}", touch, (tmp_path / str(n),)) for n in range(3)]

    Scheduler(jobs).run(tasks, Monitor(lambda fraction, text: said.append((fraction, text))))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]
    said = [(fraction, text) for fraction, text in said if text.endswith("done")]
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


def test_a_task_of_this_process_tells_how_far_it_is(tmp_path: Path) -> None:
    said: list[tuple[float, str]] = []
    tasks = [Task(name, touch, (tmp_path / name,)) for name in "ab"]

    Scheduler(1).run(tasks, Monitor(lambda fraction, text: said.append((fraction, text))))

    assert [entry for entry in said if entry[1].startswith("touch")] == [
        (0.25, "touch a"),
        (0.75, "touch b"),
    ]


def test_the_processes_of_a_killed_study_end_with_it(tmp_path: Path, project_root: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(STUDY_TO_BE_KILLED, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(project_root)}
    (tmp_path / "at work").mkdir()
    command = [sys.executable, str(script), str(tmp_path / "at work")]
    with subprocess.Popen(command, cwd=project_root, env=environment) as study:
        until(lambda: len(pids(tmp_path / "at work")) == 2, "both tasks to start")
        study.kill()

    until(
        lambda: not any(psutil.pid_exists(pid) for pid in pids(tmp_path / "at work")),
        "the processes to end",
    )


def pids(folder: Path) -> list[int]:
    found = [path.read_text("utf-8") for path in folder.iterdir()]
    return [int(text) for text in found if text]


def test_two_studies_on_one_cluster_do_not_take_each_others_tasks(tmp_path: Path) -> None:
    def task(study: str, version: str = "") -> Task:
        return Task("train student", touch, (tmp_path / study,), version)

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        first = on_cluster(cluster.scheduler_address, [task("a")], Monitor())
        next(first)  # its client still holds the result
        (tmp_path / "a").unlink()
        Scheduler(address=cluster.scheduler_address).run([task("b")], Monitor())
        Scheduler(address=cluster.scheduler_address).run([task("a", "changed")], Monitor())

    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_nothing_to_do_is_done(tmp_path: Path) -> None:
    Scheduler(address=str(tmp_path / "no such scheduler")).run([], Monitor())
