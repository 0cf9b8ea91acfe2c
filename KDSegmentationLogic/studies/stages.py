"""The stages of a study, each a function of the study, the data set and the run's folder."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from KDSegmentationLogic.inference.engines.registry import available_cores
from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine
from KDSegmentationLogic.inference.predict import Runner
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Arm, Study, read_study
from KDSegmentationLogic.training.cases import TrainingCase, load_cases
from KDSegmentationLogic.training.dataset import Dataset, find_dataset
from KDSegmentationLogic.training.losses import Objective
from KDSegmentationLogic.training.trainer import Trainer
from KDSegmentationLogic.training.validation import case_probabilities


def train_arms(
    study_file: Path,
    data: Path,
    folder: RunFolder,
    arms: Sequence[Arm],
    jobs: int,
    monitor: Monitor,
) -> None:
    """Train those arms that are not trained yet, ``jobs`` at a time, cores shared evenly.

    Two trainings of one thread beside each other do 1.9 times the work of one; one training
    on two threads does 1.6 times. The threads do not depend on what is already trained: a
    resumed run computes what an undisturbed one would have.
    """
    waiting = [arm for arm in arms if not folder.is_trained(arm)]
    jobs = max(1, min(jobs, len(arms)))
    threads = max(1, available_cores() // jobs)
    if jobs == 1:
        for arm in waiting:
            train_arm(study_file, data, folder.root, arm.name, threads, monitor)
        return
    with _workers(jobs) as pool:
        futures = {
            pool.submit(train_arm, study_file, data, folder.root, arm.name, threads): arm
            for arm in waiting
        }
        pending = set(futures)
        while pending:
            done, pending = concurrent.futures.wait(pending, timeout=1.0)
            monitor.check()
            for future in done:
                future.result()
                trained = 1 - len(pending) / len(futures)
                monitor.report(trained, f"trained {futures[future].name}")


@contextlib.contextmanager
def _workers(count: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Processes that end with the block: an error or a cancel does not wait for a training."""
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = concurrent.futures.ProcessPoolExecutor(count, mp_context=context)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    pool.shutdown()


def train_arm(
    study_file: Path,
    data: Path,
    root: Path,
    name: str,
    threads: int = 1,
    monitor: Monitor | None = None,
) -> None:
    """Train one arm in this process, from its checkpoint where there is one."""
    torch.set_num_threads(threads)
    monitor = monitor or Monitor()
    study = read_study(study_file)
    folder, arm = RunFolder(root, study), study.arm(name)
    dataset = find_dataset(study.dataset, data)
    training = read_cases(study, dataset, "train", monitor.part(0, 0.02))
    if Objective(arm.schedule.losses).needs_teacher:
        training = [case.with_soft(folder.load_soft(case.name)) for case in training]
    trainer = Trainer(
        arm.member(),
        arm.schedule,
        training,
        read_cases(study, dataset, "val", monitor.part(0.02, 0.03)),
        arm.seed,
        folder.checkpoint(arm),
    )
    folder.save_trained(arm, trainer.run(monitor.part(0.03, 1)))


def read_cases(study: Study, dataset: Dataset, split: str, monitor: Monitor) -> list[TrainingCase]:
    """The cases of one split on the study's grid."""
    values = [label.value for label in study.labels]
    return load_cases(dataset.split(split), study.channels, study.grid, values, monitor)


def compute_targets(study: Study, dataset: Dataset, folder: RunFolder, monitor: Monitor) -> None:
    """Mean probabilities of all teachers on every training case, stored once."""
    missing = [
        case for case in dataset.split("train") if not folder.soft_target(case.name).is_file()
    ]
    if not missing:
        return
    runners = [Runner(arm.member(), TorchEngine(folder.network(arm))) for arm in study.teachers]
    values = [label.value for label in study.labels]
    cases = load_cases(missing, study.channels, study.grid, values, monitor.part(0, 0.1))
    for number, case in enumerate(cases, 1):
        folder.save_soft(case.name, case_probabilities(case.image, runners))
        monitor.report(0.1 + 0.9 * number / len(cases), f"soft target of {case.name}")
