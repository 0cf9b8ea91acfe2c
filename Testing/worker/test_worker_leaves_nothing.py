"""No process, file or memory is left behind, whoever ends first; the child is set up rightly."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.errors import DependencyError
from KDSegmentationLogic.inference.pipeline import Settings
from KDSegmentationLogic.worker.client import WorkerClient
from KDSegmentationLogic.worker.process import ROOT, environment, python_executable
from KDSegmentationLogic.worker.protocol import PROTOCOL, Failed, Hello, Ready, reply_of, to_line
from Testing.making import phantom
from Testing.waiting import until
from Testing.worker.conftest import ODD, ended, started

ABANDONED = """
import sys
import SimpleITK as sitk
from KDSegmentationLogic.inference.pipeline import Settings
from KDSegmentationLogic.worker.client import WorkerClient

client = WorkerClient({odd!r})
image = sitk.Image([20, 20, 20], sitk.sitkInt16)
job = client.segment([image], {bundle!r}, settings=Settings(engine={action!r}))
while not job.notices and not job.ended:
    client.poll()
print(client._child.worker_pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("action", ["count:100", "deaf:100", "auto"])
def test_the_child_ends_with_its_parent_and_removes_the_folder(
    student_bundle: Bundle, temporary: Path, action: str
) -> None:
    code = ABANDONED.format(odd=ODD, bundle=str(student_bundle.folder), action=action)
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    (folder,) = temporary.iterdir()
    assert list(folder.glob("volume-*"))
    parent.kill()
    parent.communicate()
    until(lambda: not child.is_running(), "the child has ended")
    assert not list(temporary.iterdir())


def test_closing_removes_everything_and_may_be_done_twice(
    student_bundle: Bundle, temporary: Path
) -> None:
    client = WorkerClient(ODD)
    called: list[str] = []
    image, _ = phantom()
    before = _children()  # an earlier test's helpers of multiprocessing may still be there
    for _ in range(2):  # it may be used again
        first = started(
            client,
            client.segment([image], student_bundle.folder, settings=Settings(engine="deaf:100")),
        )
        second = client.segment(
            [image], student_bundle.folder, on_change=lambda job: called.append(job.state)
        )
        assert _children() > before
        client.close()
        client.close()
        assert (first.state, second.state) == ("cancelled", "cancelled")
        client.poll()
        assert not called
        assert _children() <= before
        assert not list(temporary.iterdir())


def test_twenty_jobs_with_cancels_and_kills_leave_nothing(
    student_bundle: Bundle, temporary: Path
) -> None:
    chance = random.Random(4)
    images = [phantom((48, 40, 32))[0], phantom()[0]]
    before = _children()
    with WorkerClient(ODD) as client:
        for _ in range(20):
            settings = Settings(engine=chance.choice(["auto", "auto", "count:0.2", "print"]))
            job = client.segment([chance.choice(images)], student_bundle.folder, None, settings)
            disturbance = chance.random()
            for _ in range(chance.randrange(1, 40)):
                client.poll()
            if disturbance < 0.5:
                client.cancel(job)
            elif disturbance < 0.7:
                for pid in _children() - before:
                    psutil.Process(pid).kill()
            ended(client, job)
            assert len(_children() - before) <= 1
            assert not list(client._folder.path.glob("result-*"))
            assert len(list(client._folder.path.iterdir())) <= 1
    assert _children() <= before
    assert not list(temporary.iterdir())


def test_a_child_does_not_grow_from_job_to_job(
    student_bundle: Bundle, ensemble_bundle: Bundle
) -> None:
    images = [phantom((48, 40, 32))[0], phantom()[0]]
    sizes = []
    with WorkerClient() as client:
        for n in range(12):
            bundle = (student_bundle, ensemble_bundle)[n // 2 % 2]
            job = client.segment([images[n % 2]], bundle.folder, None, Settings(threads=1))
            assert ended(client, job).state == "done"
            assert client._child is not None
            sizes.append(psutil.Process(client._child.worker_pid).memory_info().rss)
    # the least of each half: what an allocator still holds for a moment is no leak
    assert min(sizes[8:]) - min(sizes[4:8]) < 10 * 2**20


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_line_that_is_no_request_is_answered_and_the_end_of_the_stream_is_the_end(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "handed over"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "KDSegmentationLogic.worker"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    out, _ = process.communicate(
        b"nonsense\n\n" + to_line(Hello(PROTOCOL, str(folder))) + b'{"kind": "cancel", "job": 9}\n'
    )
    replies = [reply_of(line) for line in out.splitlines()]
    failures = [reply for reply in replies if isinstance(reply, Failed)]
    assert [failed.error for failed in failures] == ["usage", "usage"]
    assert Ready(PROTOCOL, process.pid) in replies
    assert process.returncode == 0
    assert not folder.exists()


def test_the_child_finds_the_package_and_speaks_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    found = environment()
    assert found["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "elsewhere"]
    assert (ROOT / "KDSegmentationLogic").is_dir()
    assert (found["PYTHONUTF8"], found["PYTHONUNBUFFERED"]) == ("1", "1")


@pytest.mark.parametrize("name", ["python3", "python.exe", "PythonSlicer", "python-real"])
def test_the_running_python_is_taken(tmp_path: Path, name: str) -> None:
    running = str(tmp_path / name)
    assert python_executable(running, lambda _: None) == running


@pytest.mark.parametrize(
    ("running", "python"),
    [
        ("bin/SlicerApp-real", "bin/PythonSlicer"),
        ("bin/SlicerApp-real.exe", "bin/PythonSlicer.exe"),
        ("Contents/MacOS/Slicer", "Contents/bin/PythonSlicer"),
    ],
)
def test_inside_slicer_its_own_python_is_found(tmp_path: Path, running: str, python: str) -> None:
    (tmp_path / python).parent.mkdir(parents=True)
    (tmp_path / python).touch()
    assert python_executable(str(tmp_path / running), lambda _: None) == str(tmp_path / python)


def test_slicers_python_is_found_on_the_path() -> None:
    assert python_executable("", lambda name: f"somewhere/{name}") == "somewhere/PythonSlicer"


def test_where_there_is_no_python_one_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="No Python interpreter was found beside"):
        python_executable(str(tmp_path / "Slicer"), lambda _: None)
