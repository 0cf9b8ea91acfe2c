"""Running a study: stage after stage, each skipped where its artefacts are there."""

from __future__ import annotations

import platform
from pathlib import Path

from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.inference.engines.registry import available_cores, choose_device
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.assessment import assess, note_measured
from KDSegmentationLogic.studies.bundling import write_bundles
from KDSegmentationLogic.studies.definition import read_study
from KDSegmentationLogic.studies.names import STAGES
from KDSegmentationLogic.studies.stages import compute_targets, train_arms
from KDSegmentationLogic.training.dataset import find_dataset


def run_study(
    study_file: Path,
    data: Path,
    folder: Path,
    jobs: int = 1,
    until: str = STAGES[-1],
    monitor: Monitor | None = None,
) -> None:
    """Run a study up to and with the stage ``until``; a killed run goes on where it was.

    Parameters
    ----------
    data : the folder that holds the study's data set.
    jobs : trainings beside each other, one thread each.

    Raises
    ------
    UsageError, DatasetError, TrainingError : with the cause and the remedy.
    """
    if until not in STAGES:
        raise UsageError(f"There is no stage called {until}.", f"Choose from: {', '.join(STAGES)}.")
    monitor = monitor or Monitor()
    study_file, data = study_file.resolve(), data.resolve()
    study = read_study(study_file)
    run = RunFolder(folder.resolve(), study)
    dataset = find_dataset(study.dataset, data)
    wanted = STAGES[: STAGES.index(until) + 1]

    train_arms(study_file, data, run, study.teachers, jobs, monitor.part(0.0, 0.6))
    if "targets" in wanted:
        compute_targets(study, dataset, run, monitor.part(0.6, 0.65))
    if "students" in wanted:
        train_arms(study_file, data, run, study.students, jobs, monitor.part(0.65, 0.9))
    if "bundle" not in wanted:
        return
    bundles = write_bundles(study, run)
    # the test cases are opened once, after everything has been decided on validation
    for split, start in (("val", 0.9), ("test", 0.95)):
        if {"val": "validate", "test": "test"}[split] not in wanted:
            return
        results = assess(study, dataset, run, bundles, split, monitor.part(start, start + 0.05))
    hardware = f"{platform.machine()}, {available_cores()} cores, {choose_device('auto')[0]}"
    note_measured(bundles, results, f"{study.dataset}, test", hardware)
