"""Segmenting through the worker gives what segmenting here gives, and is told step by step."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.errors import BundleError, ImageError, RegionError, UsageError
from KDSegmentationLogic.imaging.geometry import MODALITY_KEY
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.inference.region import Box, Point, Region
from KDSegmentationLogic.worker.client import WorkerClient
from KDSegmentationLogic.worker.job import Job
from Testing.making import phantom
from Testing.project.source_tree import ROOT
from Testing.worker.conftest import ended, result_of

OBLIQUE = (0.6, -0.8, 0.0, 0.8, 0.6, 0.0, 0.0, 0.0, -1.0)
ONE = Settings(threads=1)  # on a busy machine two threads wait for each other
MAPS = Settings(threads=1, probabilities=True, uncertainty=True)


def identical(first: sitk.Image | None, second: sitk.Image | None) -> bool:
    if first is None or second is None:
        return first is second
    return (
        first.GetOrigin() == second.GetOrigin()
        and first.GetSpacing() == second.GetSpacing()
        and first.GetDirection() == second.GetDirection()
        and first.GetPixelID() == second.GetPixelID()
        and np.array_equal(sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second))
    )


@pytest.mark.parametrize("where", ["all", "point", "box"])
def test_labels_and_maps_are_those_of_the_predictor(
    worker: WorkerClient, ensemble_bundle: Bundle, where: str
) -> None:
    image, _ = phantom(origin=(0.0, 0.0, -12.3), direction=OBLIQUE)
    region: Region | None = None
    if where == "box":
        turned = (0.8, 0.6, 0, 0, -0.6, 0.8, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)
        region = Box((-20.0, -20.0, -40.0), (5.0, 5.0, -15.0), tuple(map(float, turned)))
    elif where == "point":
        r, a, s = _middle(image)
        region = Point((-r, -a, s))
    wanted = Predictor(ensemble_bundle, MAPS).segment([image], region)
    result = result_of(ended(worker, worker.segment([image], ensemble_bundle.folder, region, MAPS)))
    assert sitk.GetArrayViewFromImage(wanted.labels).any()
    for name in ("labels", "probabilities", "deviation", "entropy"):
        assert identical(getattr(result, name), getattr(wanted, name)), name
    assert (result.device, result.engine) == (wanted.device, wanted.engine)
    assert set(result.seconds) == {"preprocess", "predict", "restore"}
    assert 0.05 < result.peak_memory_gib < 8


def test_a_picture_is_segmented(worker: WorkerClient, picture_bundle: Bundle) -> None:
    image, truth = phantom((40, 30))
    result = result_of(ended(worker, worker.segment([image], picture_bundle.folder, settings=ONE)))
    assert identical(result.labels, truth)
    assert result.entropy is None


def test_a_changed_volume_is_not_taken_for_the_one_before(
    worker: WorkerClient, student_bundle: Bundle
) -> None:
    image, truth = phantom()
    first = result_of(ended(worker, worker.segment([image], student_bundle.folder, settings=ONE)))
    image[0, 0, 0] = 200
    second = result_of(ended(worker, worker.segment([image], student_bundle.folder, settings=ONE)))
    assert identical(first.labels, truth)
    assert second.labels is not None
    assert second.labels[0, 0, 0] == 2


def test_a_model_is_loaded_once_for_images_with_and_without_maps(
    worker: WorkerClient, student_bundle: Bundle
) -> None:
    ended(worker, worker.warm(student_bundle.folder, ONE))
    job = ended(worker, worker.segment([phantom()[0]], student_bundle.folder, settings=MAPS))
    assert result_of(job).probabilities is not None
    assert not job.notices  # loading would say on which device


def test_a_model_is_warmed_ahead(worker: WorkerClient, crop_bundle: Bundle) -> None:
    job = ended(worker, worker.warm(crop_bundle.folder, ONE))
    assert job.notices == ["Running on cpu: no GPU found."] or "GPU" in job.notices[0]
    assert result_of(job).labels is None
    image, _ = phantom()
    r, a, s = _middle(image)
    job = ended(worker, worker.segment([image], crop_bundle.folder, Point((-r, -a, s)), ONE))
    assert result_of(job).labels is not None
    assert not job.notices


def test_what_the_image_says_of_itself_is_still_known(
    worker: WorkerClient, student_bundle: Bundle
) -> None:
    image, _ = phantom()
    image.SetMetaData(MODALITY_KEY, "MR")
    job = ended(worker, worker.segment([image], student_bundle.folder, settings=ONE))
    assert any("is MR" in notice for notice in job.notices)


def test_errors_of_the_child_come_back_as_themselves(
    worker: WorkerClient, student_bundle: Bundle, crop_bundle: Bundle
) -> None:
    image, _ = phantom((60, 60, 60))
    for job, kind in (
        (worker.segment([image], crop_bundle.folder, settings=ONE), RegionError),
        (worker.segment([image, image], student_bundle.folder), ImageError),
        (worker.segment([image], "no-such-model"), BundleError),
        (
            worker.segment([image], student_bundle.folder, Point((900.0, 0.0, 0.0)), ONE),
            RegionError,
        ),
    ):
        assert type(ended(worker, job).error) is kind
        assert job.state == "failed"


def test_a_request_that_cannot_be_sent_fails_alone(
    worker: WorkerClient, student_bundle: Bundle
) -> None:
    image, truth = phantom()
    bad = worker.segment([image], student_bundle.folder, settings=Settings(device=3))  # type: ignore[arg-type]
    nowhere = worker.segment([image], student_bundle.folder, Point((np.nan, 0.0, 0.0)), ONE)
    good = worker.segment([image], student_bundle.folder, settings=ONE)
    assert identical(result_of(ended(worker, good)).labels, truth)
    assert type(bad.error) is UsageError
    assert type(nowhere.error) is RegionError


def test_a_warm_model_whose_files_change_or_vanish_is_refused(
    worker: WorkerClient, student_bundle: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "modèle à moi"
    shutil.copytree(student_bundle.folder, folder)
    image, truth = phantom()
    assert identical(
        result_of(ended(worker, worker.segment([image], folder, settings=ONE))).labels, truth
    )
    weights = folder / student_bundle.description.members[0].weights
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    error = ended(worker, worker.segment([image], folder, settings=ONE)).error
    assert type(error) is BundleError
    assert "another SHA-256" in error.cause
    weights.write_bytes(content)
    assert identical(
        result_of(ended(worker, worker.segment([image], folder, settings=ONE))).labels, truth
    )
    shutil.rmtree(folder)
    error = ended(worker, worker.segment([image], folder, settings=ONE)).error
    assert type(error) is BundleError
    assert str(folder) in str(error)


def test_numbers_of_numpy_may_give_a_position(odd: WorkerClient, student_bundle: Bundle) -> None:
    point = Point(tuple(np.array([1.0, 2.0, 3.0], np.float32)))
    assert ended(odd, odd.segment([phantom()[0]], student_bundle.folder, point)).state == "done"


def test_a_bundle_is_found_by_name_as_elsewhere(
    odd: WorkerClient, student_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, other = tmp_path / "Models", tmp_path / "other"
    shutil.copytree(student_bundle.folder, models / "tiny")
    (other / "tiny").mkdir(parents=True)
    monkeypatch.setenv("KDSEG_MODELS", str(models))
    monkeypatch.chdir(other)
    assert ended(odd, odd.segment([phantom()[0]], "tiny")).state == "done"
    monkeypatch.chdir(models)
    assert ended(odd, odd.segment([phantom()[0]], Path("tiny"))).state == "done"


def test_jobs_run_in_order_and_tell_each_step(odd: WorkerClient, student_bundle: Bundle) -> None:
    steps: list[tuple[int, str]] = []
    image, _ = phantom()
    jobs: list[Job] = []

    def note(job: Job) -> None:
        steps.append((jobs.index(job), job.state))

    settings = Settings(engine="count:0.2")
    for _ in range(2):
        jobs.append(odd.segment([image], student_bundle.folder, None, settings, note))
    assert not steps  # nobody is called before poll
    ended(odd, jobs[1])
    order = list(dict.fromkeys(steps))
    assert order[-1] == (1, "done")
    assert order.index((0, "done")) < order.index((1, "running"))
    assert order.index((0, "running")) < order.index((0, "done"))


def test_progress_grows_and_tells_the_time_that_is_left(
    odd: WorkerClient, student_bundle: Bundle
) -> None:
    seen: list[tuple[float, float | None]] = []
    job = odd.segment(
        [phantom()[0]],
        student_bundle.folder,
        settings=Settings(engine="count:1"),
        on_change=lambda job: seen.append((job.fraction, job.seconds_left)),
    )
    ended(odd, job)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert 5 < len(fractions) < 40
    left = [seconds for _, seconds in seen if seconds is not None]
    assert left
    assert 0 <= left[-1] < left[0] < 10
    assert job.seconds_left is None


def test_a_callback_may_order_the_next_job(odd: WorkerClient, student_bundle: Bundle) -> None:
    image, _ = phantom()
    later: list[Job] = []

    def again(job: Job) -> None:
        if job.ended and not later:
            later.append(odd.segment([image], student_bundle.folder))
            odd.poll()

    ended(odd, odd.segment([image], student_bundle.folder, on_change=again))
    assert ended(odd, later[0]).state == "done"


def test_a_job_that_waits_is_cancelled_at_once(odd: WorkerClient, student_bundle: Bundle) -> None:
    image, _ = phantom()
    first = odd.segment([image], student_bundle.folder, settings=Settings(engine="count:0.1"))
    second = odd.segment([image], student_bundle.folder)
    odd.cancel(second)
    assert second.state == "cancelled"
    assert ended(odd, first).state == "done"
    assert not odd.busy


def test_what_libraries_print_does_not_disturb(odd: WorkerClient, student_bundle: Bundle) -> None:
    for _ in range(2):
        job = odd.segment([phantom()[0]], student_bundle.folder, settings=Settings(engine="print"))
        assert ended(odd, job).state == "done", job.error


def test_the_client_brings_neither_torch_nor_threads() -> None:
    code = (
        "import sys, threading, KDSegmentationLogic.worker.client as c;"
        "client = c.WorkerClient(); client.poll(); client.close();"
        "print(sorted({'torch', 'scipy', 'psutil', 'slicer'} & set(sys.modules)),"
        " threading.active_count())"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout == "[] 1\n", run.stderr


def _middle(image: sitk.Image) -> tuple[float, ...]:
    centre = [(n - 1) / 2 for n in image.GetSize()]
    return image.TransformContinuousIndexToPhysicalPoint(centre)
