"""``kdseg segment`` on many cases: going on after a stop, and what must not be lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.files import sha256_of
from KDSegmentationLogic.inference.cohort_manifest import MANIFEST
from Testing.making import phantom


@pytest.fixture
def segment(kdseg, cohort, student_bundle, tmp_path) -> Callable[..., Any]:
    """Segments the cohort into ``out``."""

    def run(*arguments: Any) -> Any:
        into = ["-o", tmp_path / "out", "--json"]
        return kdseg("segment", cohort, "-m", student_bundle.folder, *into, *arguments)

    return run


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def made_again(said: Any) -> list[str]:
    return [case["name"] for case in json.loads(said.out)["cases"] if not case["skipped"]]


def test_finished_cases_are_skipped_and_told_as_before(segment, out) -> None:
    first = json.loads(segment().out)["cases"]
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    said = segment()
    assert said.status == 0
    assert "3 of 3 cases were finished before" in said.err
    assert [{**case, "skipped": False} for case in json.loads(said.out)["cases"]] == first
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times


def test_a_changed_input_is_made_again(segment, cohort) -> None:
    segment()
    sitk.WriteImage(phantom((18, 18, 14))[0], str(cohort / "case1.nii.gz"))
    assert made_again(segment()) == ["case1"]


def test_a_further_map_is_made_for_all(segment, out) -> None:
    segment()
    assert made_again(segment("--uncertainty")) == ["case0", "case1", "case2"]
    assert (out / "case2_uncertainty.nii.gz").is_file()
    assert made_again(segment("--uncertainty")) == []


def test_another_model_makes_all_again(segment, kdseg, cohort, ensemble_bundle, out) -> None:
    segment()
    said = kdseg("segment", cohort, "-m", ensemble_bundle.folder, "-o", out, "--json")
    assert made_again(said) == ["case0", "case1", "case2"]


def test_a_damaged_output_is_made_again(segment, out) -> None:
    segment()
    path = out / "case1.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert made_again(segment()) == ["case1"]
    assert path.read_bytes() == whole


def test_a_missing_output_is_made_again(segment, out) -> None:
    segment()
    (out / "case0.nii.gz").unlink()
    assert made_again(segment()) == ["case0"]


def test_an_output_that_was_edited_is_kept(segment, out) -> None:
    segment()
    path = out / "case1.nii.gz"
    labels = sitk.ReadImage(str(path))
    labels[0, 0, 0] = 2
    sitk.WriteImage(labels, str(path))
    edited = path.read_bytes()
    said = segment()
    assert said.status == 2
    assert "was changed since" in said.err
    assert path.read_bytes() == edited
    assert made_again(segment("--overwrite")) == ["case0", "case1", "case2"]


def test_a_file_of_another_origin_is_kept_before_any_work(segment, out, names_in) -> None:
    out.mkdir()
    (out / "case2.nii.gz").write_bytes(b"precious")
    said = segment()
    assert said.status == 2
    assert names_in(out) == ["case2.nii.gz"]
    assert (out / "case2.nii.gz").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1, "cases": {"case0.nii.gz": 3}}']
)
def test_beside_a_damaged_manifest_nothing_is_replaced_unasked(segment, out, content) -> None:
    out.mkdir()
    (out / MANIFEST).write_bytes(content)
    (out / "case0.nii.gz").write_bytes(b"whose?")
    said = segment()
    assert said.status == 2
    assert f"{MANIFEST} in {out} cannot be read" in said.err
    assert (out / "case0.nii.gz").read_bytes() == b"whose?"


def test_a_damaged_manifest_is_replaced_where_there_is_nothing_to_lose(segment, out) -> None:
    out.mkdir()
    (out / MANIFEST).write_bytes(b"{")
    assert segment().status == 0
    assert made_again(segment()) == []


def test_a_case_that_failed_is_tried_again_and_the_others_are_not(segment, cohort) -> None:
    (cohort / "case1.nii.gz").write_bytes(b"no image")
    said = segment()
    assert said.status == 1
    assert "1 of 3 cases failed." in said.err
    sitk.WriteImage(phantom((18, 18, 14))[0], str(cohort / "case1.nii.gz"))
    said = segment()
    assert said.status == 0
    assert made_again(said) == ["case1"]


def test_a_full_disk_fails_the_cases_that_do_not_fit_it(segment, cohort, out, names_in) -> None:
    """A limit on the size of files stands for the disk; ITK and Python meet the same error."""
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    grey = np.random.default_rng(0).integers(0, 400, (40, 40, 40)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(grey), str(cohort / "case1.nii.gz"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        said = segment("--format", ".nrrd", "--probabilities")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said.status == 1
    assert [failed["name"] for failed in json.loads(said.out)["failed"]] == ["case1"]
    assert "disk may be full" in said.err
    assert not list(out.glob(".writing-*"))
    assert "case1_probabilities.nrrd" not in names_in(out)


def test_a_dicom_folder_may_stand_among_files(
    kdseg, image, dicom_file, student_bundle, tmp_path, names_in
) -> None:
    voxels = sitk.GetArrayFromImage(phantom()[0])
    for z, plane in enumerate(voxels):
        dicom_file(
            f"series/{z:02}.dcm",
            z=float(z),
            shape=plane.shape,
            PixelData=plane.astype("<i2").tobytes(),
            PixelSpacing=[1.0, 1.0],
            SliceThickness=1.0,
        )
    into = ["-m", student_bundle.folder, "-o", tmp_path / "out", "--json"]
    call = ["segment", image, tmp_path / "series", *into]
    assert kdseg(*call).status == 0
    assert names_in(tmp_path / "out") == ["phantom.nii.gz", "series.nii.gz"]
    (tmp_path / "series" / "03.dcm").touch()
    assert made_again(kdseg(*call)) == ["series"]


def test_a_scheduler_is_not_for_a_single_case(kdseg, image, student_bundle, tmp_path) -> None:
    to = ["-m", student_bundle.folder, "-o", tmp_path / "a.nii.gz", "--scheduler", "none.json"]
    said = kdseg("segment", image, *to)
    assert said.status == 2


def test_two_processes_give_the_same_and_stop_at_no_bad_case(
    segment, kdseg, cohort, student_bundle, out, tmp_path
) -> None:
    (cohort / "case0.nii.gz").write_bytes(b"no image")
    alone = kdseg("segment", cohort, "-m", student_bundle.folder, "-o", tmp_path / "alone")
    said = segment("--jobs", 2)
    assert alone.status == said.status == 1
    assert [case["name"] for case in json.loads(said.out)["cases"]] == ["case1", "case2"]
    assert [failed["name"] for failed in json.loads(said.out)["failed"]] == ["case0"]
    for name in ("case1.nii.gz", "case2.nii.gz"):
        assert sha256_of(out / name) == sha256_of(tmp_path / "alone" / name)


def _start(cohort: Path, model: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    call = ["segment", str(cohort), "-m", str(model), "-o", str(out), "--threads", "1", *more]
    # tests that a shell runs in the background ignore Ctrl-C, and so would their children
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = subprocess.Popen(
            [sys.executable, "-m", "KDSegmentationLogic", *call],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    end = time.monotonic() + 120
    while len(list(out.glob("*.nii.gz"))) < 3:
        assert time.monotonic() < end, "nothing came"
        assert run.poll() is None, "it was over before it could be stopped"
        time.sleep(0.005)
    return run


@pytest.fixture
def long_cohort(tmp_path) -> Path:
    folder = tmp_path / "long"
    folder.mkdir()
    for number in range(60):
        sitk.WriteImage(phantom((60, 60, 40))[0], str(folder / f"case{number:02}.nii.gz"))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no Ctrl-C to one process")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_leaves_nothing_half_written_and_the_rest_is_done_later(
    kdseg, long_cohort, student_bundle, out, jobs
) -> None:
    run = _start(long_cohort, student_bundle.folder, out, "--jobs", jobs)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 1
    assert not list(out.glob(".writing-*"))
    kept = len(json.loads((out / MANIFEST).read_text("utf-8"))["cases"])
    assert kept == 60
    done = len(list(out.glob("*.nii.gz")))
    said = kdseg("segment", long_cohort, "-m", student_bundle.folder, "-o", out, "--json")
    assert said.status == 0
    assert len(made_again(said)) == 60 - done


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_killed_run_is_finished_by_the_next(
    kdseg, long_cohort, student_bundle, out, jobs
) -> None:
    run = _start(long_cohort, student_bundle.folder, out, "--jobs", jobs)
    run.kill()
    run.wait()
    said = kdseg("segment", long_cohort, "-m", student_bundle.folder, "-o", out, "--json")
    assert said.status == 0
    assert 0 < len(made_again(said)) < 60
    assert len(list(out.glob("*.nii.gz"))) == 60


@pytest.mark.slow
def test_a_cluster_gives_the_same_as_this_machine(
    segment, kdseg, cohort, student_bundle, out, tmp_path
) -> None:
    (cohort / "case1.nii.gz").write_bytes(b"no image")
    alone = kdseg("segment", cohort, "-m", student_bundle.folder, "-o", tmp_path / "alone")
    file = tmp_path / "scheduler.json"
    local = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    worker = ["--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path / "dask")]
    calls = [["scheduler", "--port", "0"], ["worker", *worker]]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *call, *local],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for call in calls
    ]
    try:
        end = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < end, "no scheduler came"
            time.sleep(0.05)
        said = segment("--scheduler", file)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
    assert alone.status == said.status == 1
    assert [failed["name"] for failed in json.loads(said.out)["failed"]] == ["case1"]
    for name in ("case0.nii.gz", "case2.nii.gz"):
        assert sha256_of(out / name) == sha256_of(tmp_path / "alone" / name)
