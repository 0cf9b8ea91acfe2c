"""The same study on a Dask cluster: a scheduler and workers as their own processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client

from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.files import sha256_of
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies import scheduling
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import read_study
from KDSegmentationLogic.studies.scheduling import Scheduler, Task
from KDSegmentationLogic.studies.stages import train_arm
from Testing.studies.made_study import write_dataset, write_study
from Testing.waiting import until

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
STUDY = ["-m", "KDSegmentationLogic", "study", "run"]


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


class Cluster:
    """A scheduler and two workers of one thread."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        local = ["--host", "127.0.0.1"]
        self.scheduler = start(
            *["-m", "dask", "scheduler", *local, "--port", "0", "--no-dashboard"],
            *["--scheduler-file", str(self.file)],
        )
        self.workers = {
            name: start(
                *["-m", "dask", "worker", *local, "--scheduler-file", str(self.file)],
                *["--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard"],
                *["--local-directory", str(folder / name)],
            )
            for name in ("first", "second")
        }

    def client(self) -> Client:
        return Client(scheduler_file=str(self.file), set_as_default=False)

    def close(self) -> None:
        for process in (*self.workers.values(), self.scheduler):
            process.kill()
            process.wait()


def working_on(task: str, client: Client) -> str | None:
    """The name of the worker that has a task; its key is the task's name and a hash."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    for address, keys in client.processing().items():
        if any(key.startswith(f"{task} ") for key in keys):
            return str(workers[address]["name"])
    return None


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.close()


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "Task99_Made")
    path = tmp_path / "study.yaml"
    write_study(path)
    # long enough for a worker to be killed in the middle
    path.write_text(path.read_text("utf-8").replace("steps: 80", "steps: 300"), "utf-8")
    return path


@pytest.mark.slow
def test_a_worker_killed_in_mid_training_changes_nothing_in_the_weights(
    tmp_path: Path, study_file: Path, cluster: Cluster
) -> None:
    study = read_study(study_file)
    here, there = (RunFolder(tmp_path / name, study) for name in ("here", "there"))
    for arm in study.teacher_runs:
        train_arm(study_file, tmp_path, here.root, arm.name)

    volume = study.arm("volume")
    # asked before: a connection takes as long as many steps of this training
    with cluster.client() as client:
        run = start(
            *[*STUDY, str(study_file), "-o", str(there.root), "--data", str(tmp_path)],
            *["--scheduler", str(cluster.file), "--until", "teachers"],
        )
        until(there.checkpoint(volume).is_file, "the first checkpoint", seconds=240)
        name = working_on("train volume", client)
    if name is None:
        pytest.fail("the training was over before its worker could be killed")
    cluster.workers[name].kill()

    assert run.wait(timeout=300) == 0
    for arm in study.teacher_runs:
        assert sha256_of(there.weights(arm)) == sha256_of(here.weights(arm)), arm.name


@pytest.mark.parametrize("address", ["none.json", "tcp://127.0.0.1:1"])
def test_a_scheduler_that_does_not_answer_is_said(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "_PATIENCE", "0.5s")
    task = Task("nothing", print, ())

    with pytest.raises(TrainingError, match=rf"No Dask scheduler answers at {address} .*dask"):
        Scheduler(address=address).run([task], Monitor())
