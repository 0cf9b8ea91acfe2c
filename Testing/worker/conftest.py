"""Clients with real child processes, and waiting for them with a deadline."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from KDSegmentationLogic.worker.client import WorkerClient
from KDSegmentationLogic.worker.job import Job, WorkerResult
from Testing.waiting import PATIENCE, until

ODD = [sys.executable, str(Path(__file__).with_name("odd_worker.py"))]


def ended(client: WorkerClient, job: Job) -> Job:
    """The job, once it has ended."""
    end = time.monotonic() + PATIENCE

    def check() -> None:
        assert time.monotonic() < end, f"never ended: {job}"

    client.wait(job, check)
    return job


def started(client: WorkerClient, job: Job) -> Job:
    """The job, once the child is at it."""

    def running() -> bool:
        client.poll()
        assert not job.ended, job
        return job.fraction > 0 or bool(job.notices)

    until(running, f"started: {job}")
    return job


def result_of(job: Job) -> WorkerResult:
    assert job.error is None, job.error
    assert job.result is not None
    return job.result


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    os.environ.pop("OMP_NUM_THREADS") if before is None else None


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerClient]:
    """The worker as users have it; shared, since importing torch takes seconds."""
    with WorkerClient() as client:
        yield client


@pytest.fixture(scope="module")
def odd() -> Iterator[WorkerClient]:
    """A client of ``odd_worker``."""
    with WorkerClient(ODD) as client:
        yield client


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files, with a name as users have them."""
    folder = tmp_path / "Lékař Žofie's folder"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
