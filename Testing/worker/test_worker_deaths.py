"""However the child fails: the job fails with one sentence and a remedy, and the next one works."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from KDSegmentationLogic import errors
from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.errors import (
    DependencyError,
    DeviceError,
    KDSegError,
    OutOfMemoryError,
)
from KDSegmentationLogic.inference.pipeline import Settings
from KDSegmentationLogic.worker.client import WorkerClient
from KDSegmentationLogic.worker.faults import error_of_death
from KDSegmentationLogic.worker.job import Job
from Testing.making import phantom
from Testing.waiting import until
from Testing.worker.conftest import ODD, ended, started


def doing(client: WorkerClient, bundle: Bundle, action: str) -> Job:
    """A job whose model does what is asked for (see ``odd_worker``)."""
    return client.segment([phantom()[0]], bundle.folder, settings=Settings(engine=action))


def child_of(client: WorkerClient) -> psutil.Process:
    assert client._child is not None
    return psutil.Process(client._child.worker_pid)


@pytest.mark.parametrize(
    ("action", "kind", "words"),
    [
        ("signal:9", OutOfMemoryError, "was killed, as systems do when memory runs out"),
        ("signal:11", KDSegError, r"crashed \(SIGSEGV\)"),
        ("signal:15", KDSegError, r"ended from outside \(SIGTERM\)"),
        ("exit:3", KDSegError, r"without a result \(exit status 3\)"),
        ("fault", DeviceError, r"GPU failed .*illegal memory access was encountered\)\."),
        ("raise:MemoryError:", OutOfMemoryError, "does not fit the memory"),
        ("raise:IndexError:list index", KDSegError, r"bug in KDSegmentation \(IndexError: list"),
        ("raise:ModuleNotFoundError:No module named 'x'", DependencyError, "lacks a package"),
        ("full", KDSegError, r"could not be written to the temporary folder .*File too large"),
    ],
)
def test_a_failure_is_one_sentence_and_the_next_job_works(
    odd: WorkerClient, student_bundle: Bundle, action: str, kind: type[KDSegError], words: str
) -> None:
    job = ended(odd, doing(odd, student_bundle, action))
    assert job.state == "failed"
    assert type(job.error) is kind
    with pytest.raises(kind, match=words):
        raise job.error
    assert "\n" not in str(job.error)
    assert job.error.remedy.endswith(".")
    assert ended(odd, doing(odd, student_bundle, "auto")).state == "done"


def test_every_error_a_user_can_meet_comes_back_as_its_class(
    odd: WorkerClient, student_bundle: Bundle
) -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, KDSegError)]
    jobs = [doing(odd, student_bundle, f"raise:{kind.__name__}:") for kind in kinds]
    ended(odd, jobs[-1])
    assert [type(job.error) for job in jobs] == kinds
    assert {str(job.error) for job in jobs} == {"The cause, naïve. The remedy."}


def test_after_a_fault_of_the_gpu_the_child_is_another(
    odd: WorkerClient, student_bundle: Bundle
) -> None:
    ended(odd, doing(odd, student_bundle, "auto"))
    first = child_of(odd)
    ended(odd, doing(odd, student_bundle, "raise:IndexError:"))
    assert child_of(odd) == first
    ended(odd, doing(odd, student_bundle, "fault"))
    assert not first.is_running()


def test_a_child_killed_between_jobs_is_not_missed(
    odd: WorkerClient, student_bundle: Bundle
) -> None:
    ended(odd, doing(odd, student_bundle, "auto"))
    first = child_of(odd)
    first.kill()
    psutil.wait_procs([first], 10)
    assert ended(odd, doing(odd, student_bundle, "auto")).state == "done"


def test_a_child_killed_at_work_ends_only_that_job(
    worker: WorkerClient, student_bundle: Bundle
) -> None:
    image, _ = phantom((160, 160, 160))
    one = Settings(threads=1)
    job = started(worker, worker.segment([image], student_bundle.folder, None, one))
    child_of(worker).kill()
    assert type(ended(worker, job).error) is OutOfMemoryError
    assert not list(worker._folder.path.glob("result-*"))


def test_a_cancelled_job_ends_within_a_second_and_keeps_the_child(
    odd: WorkerClient, student_bundle: Bundle
) -> None:
    job = started(odd, doing(odd, student_bundle, "count:100"))
    child = child_of(odd)
    asked = time.monotonic()
    odd.cancel(job)
    odd.cancel(job)
    ended(odd, job)
    assert time.monotonic() - asked < 1.0
    assert (job.state, job.error, job.result) == ("cancelled", None, None)
    assert ended(odd, doing(odd, student_bundle, "auto")).state == "done"
    assert child_of(odd) == child


def test_a_child_that_does_not_listen_is_killed_within_a_second(
    odd: WorkerClient, student_bundle: Bundle
) -> None:
    job = started(odd, doing(odd, student_bundle, "deaf:100"))
    child = child_of(odd)
    asked = time.monotonic()
    odd.cancel(job)
    ended(odd, job)
    assert time.monotonic() - asked < 1.5  # of which the patience is 0.8 s, the rest the machine's
    assert job.state == "cancelled"
    until(lambda: not child.is_running(), "the deaf child is gone")
    assert ended(odd, doing(odd, student_bundle, "auto")).state == "done"


def test_a_job_that_is_done_when_it_is_cancelled_leaves_no_file(
    odd: WorkerClient, student_bundle: Bundle
) -> None:
    ended(odd, doing(odd, student_bundle, "auto"))
    job = doing(odd, student_bundle, "auto")
    folder = odd._folder.path
    until(lambda: list(folder.glob("result-*")), "a result that nobody took")
    odd.cancel(job)
    assert ended(odd, job).state == "cancelled"
    assert not list(folder.glob("result-*"))


def test_a_launcher_between_is_ended_with_the_child_below_it(student_bundle: Bundle) -> None:
    code = f"import subprocess, sys; sys.exit(subprocess.call({ODD!r}))"
    with WorkerClient([sys.executable, "-c", code]) as client:
        job = started(client, doing(client, student_bundle, "deaf:100"))
        below = child_of(client)
        assert below.ppid() != os.getpid()
        client.cancel(job)
        assert ended(client, job).state == "cancelled"
        until(lambda: not below.is_running(), "the child below the launcher is gone")


@pytest.mark.parametrize(
    ("command", "kind", "words"),
    [
        (["no-such-python"], DependencyError, "no-such-python cannot be started"),
        (
            [sys.executable, "-c", "import no_such_package"],
            DependencyError,
            "lacks a package .No module named 'no_such_package'",
        ),
        (
            [sys.executable, "-c", "raise ValueError('odd')"],
            KDSegError,
            r"\(exit status 1\): ValueError: odd\.",
        ),
        (
            [sys.executable, "-c", "import time; print('Hi, Lékař!', flush=True); time.sleep(60)"],
            KDSegError,
            "answered 'Hi, Lékař!', which is no message",
        ),
        (
            [
                sys.executable,
                "-c",
                "import time; print('x' * 3_000_000, flush=True); time.sleep(60)",
            ],
            KDSegError,
            r"answered 'x{80}', which is no message",
        ),
        (
            [
                sys.executable,
                "-c",
                """import time; print('{"kind": "ready", "protocol": 99, "pid": 1}', flush=True)
time.sleep(60)""",
            ],
            KDSegError,
            "speaks version 99 of the protocol",
        ),
    ],
)
def test_a_program_that_is_no_worker_of_ours_is_told(
    student_bundle: Bundle, command: list[str], kind: type[KDSegError], words: str
) -> None:
    with WorkerClient(command) as client:
        job = ended(client, doing(client, student_bundle, "auto"))
        assert type(job.error) is kind
        with pytest.raises(kind, match=words):
            raise job.error
        assert not psutil.Process().children(recursive=True) or client._child is None


def test_a_volume_that_finds_no_room_is_told_and_leaves_no_file(
    odd: WorkerClient, student_bundle: Bundle
) -> None:
    import resource

    ended(odd, doing(odd, student_bundle, "auto"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
    try:
        job = odd.segment([phantom((120, 120, 120))[0]], student_bundle.folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    error = ended(odd, job).error
    assert "3.3 MiB could not be written to the temporary folder" in str(error)
    assert "Make room" in str(error)
    assert not list(odd._folder.path.iterdir())


def test_a_folder_that_cannot_be_made_is_told(
    student_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with WorkerClient(ODD) as client:
        error = ended(client, doing(client, student_bundle, "auto")).error
    assert "No temporary folder can be made" in str(error)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (0xC0000017, OutOfMemoryError, "memory runs out"),
        (0xC0000005, KDSegError, "crashed .0xc0000005"),
        (137, OutOfMemoryError, "memory runs out"),
        (139, KDSegError, "SIGSEGV"),
        (0, KDSegError, "exit status 0"),
    ],
)
def test_what_launchers_and_windows_report_is_understood(
    status: int, kind: type[KDSegError], words: str
) -> None:
    error = error_of_death(status, "")
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


def test_the_last_words_tell_a_fault_of_the_gpu() -> None:
    words = "terminate called\n  what():  CUDA error: device-side assert triggered\n"
    assert type(error_of_death(-6, words)) is DeviceError
