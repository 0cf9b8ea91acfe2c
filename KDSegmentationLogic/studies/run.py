"""Running a study: stage after stage, each skipped where its artefacts are there."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from KDSegmentationLogic.errors import DatasetError, UsageError
from KDSegmentationLogic.imaging.reading import channel_count
from KDSegmentationLogic.inference.engines.registry import available_cores, choose_device
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.assessment import assess, note_measured
from KDSegmentationLogic.studies.bundling import ready, write_bundles
from KDSegmentationLogic.studies.channels import dataset_of
from KDSegmentationLogic.studies.definition import Arm, Study, read_study
from KDSegmentationLogic.studies.names import STAGES
from KDSegmentationLogic.studies.report import write_report
from KDSegmentationLogic.studies.scheduling import Scheduler
from KDSegmentationLogic.studies.stages import compute_targets, train_arms
from KDSegmentationLogic.training.dataset import Dataset
from KDSegmentationLogic.training.hardware import Hardware


def run_study(
    study_file: Path,
    data: Path,
    folder: Path,
    scheduler: Scheduler | None = None,
    until: str = STAGES[-1],
    monitor: Monitor | None = None,
    hardware: Hardware | None = None,
    trained_only: bool = False,
) -> None:
    """Run a study up to and with the stage ``until``; a killed run goes on where it was.

    Parameters
    ----------
    data : the folder that holds the study's data set.
    scheduler : where the trainings run; here, one after another, if not given.
    hardware : of each training; the CPU if not given.
    trained_only : train nothing, and measure what is trained; the report lists what is not.

    Raises
    ------
    UsageError, DatasetError, TrainingError : with the cause and the remedy.
    """
    if until not in STAGES:
        raise UsageError(f"There is no stage called {until}.", f"Choose from: {', '.join(STAGES)}.")
    wanted = STAGES[: STAGES.index(until) + 1]
    if trained_only and "bundle" not in wanted:
        raise UsageError(
            f"Up to the stage {until} there is nothing to do where only what is trained counts.",
            "Stop at bundle or later, or run the study without --trained-only.",
        )
    monitor, scheduler = monitor or Monitor(), scheduler or Scheduler()
    study_file, data = study_file.resolve(), data.resolve()
    study = read_study(study_file)
    run = RunFolder(folder.resolve(), study)
    dataset = dataset_of(study, data)
    _check_lists(dataset, wanted)
    _check_channels(dataset, len(study.channels))
    if trained_only and not ready(run):
        raise UsageError(
            f"No ensemble, student or baseline of {study_file} is trained in {run.root}.",
            "Check both, or train some first: run the study without --trained-only.",
        )
    run.keep_lists(dataset)
    run.keep_study(study_file)

    place = _Place(study_file, data, run, dataset, scheduler, hardware or Hardware("cpu"))
    share = 0.9 / len(study.ensemble_names)
    for number, ensemble in enumerate(() if trained_only else study.ensembles_in_order):
        part = monitor.part(number * share, (number + 1) * share)
        _work_off(place, ensemble, wanted, part)
    if "bundle" in wanted:
        _measure(place, wanted, monitor.part(0 if trained_only else 0.9, 1))


@dataclass(frozen=True)
class _Place:
    """A study, and where it is run on what."""

    study_file: Path
    data: Path
    folder: RunFolder
    dataset: Dataset
    scheduler: Scheduler
    hardware: Hardware

    def train(self, arms: Sequence[Arm], monitor: Monitor) -> None:
        where = self.study_file, self.data, self.folder
        train_arms(*where, arms, self.scheduler, self.hardware, monitor)

    def compute_targets(self, students: Sequence[Arm], monitor: Monitor) -> None:
        asked = self.hardware.device
        if asked != "cpu" and self.scheduler.address is not None:
            asked = "auto"  # the GPUs that were asked for are the workers'
        device = choose_device(asked)[0]
        study = self.folder.study
        compute_targets(study, self.dataset, self.folder, students, monitor, device)


def _check_lists(dataset: Dataset, wanted: Sequence[str]) -> None:
    """Before the hours, not after: what is wanted has its cases, and these their labels."""
    for stage, split in (("teachers", "val"), ("test", "test")):
        if stage not in wanted:
            continue
        names = [case.name for case in dataset.split(split)]
        without = [case.name for case in dataset.split(split) if case.labels is None]
        if without or not names:
            which = f"'{split}' of the data set {dataset.name}"
            raise DatasetError(
                f"{without[0]}, under {which}, has no labels."
                if without
                else f"There is no case under {which}.",
                f"List labelled cases there in splits.json, or stop before the stage {stage}.",
            )


def _check_channels(dataset: Dataset, channels: int) -> None:
    """A test case in one 4-D file would be found to lack a channel when all is trained."""
    for case in dict.fromkeys(name for names in dataset.splits.values() for name in names):
        held = channel_count(dataset.cases[case].images)
        if held != channels:
            raise DatasetError(
                f"The case {case} has {held} channel(s), the study has {channels}.",
                "Complete the case, or take it off the lists.",
            )


def _work_off(place: _Place, ensemble: str, wanted: Sequence[str], monitor: Monitor) -> None:
    """An ensemble and its students, the baselines with the first: results come early."""
    study = place.folder.study
    learners = [a for a in study.student_runs if study.learns_from(a) == ensemble]
    # these train their teachers along with themselves
    beside = [a for a in learners if study.distilled(a).meanwhile]
    place.train(beside, monitor.part(0, 0.5 if beside else 0))
    members = study.members(ensemble)
    # a student among them was trained with its own ensemble before, or is not wanted yet
    ready = [m for m in members if "students" in wanted or m in study.teacher_runs]
    place.train(ready, monitor.part(0.5 if beside else 0, 0.6))
    if "targets" not in wanted or len(ready) < len(members):
        return
    wait = [a for a in learners if a not in beside]
    place.compute_targets(wait, monitor.part(0.6, 0.65))
    if "students" in wanted:
        alone = [
            a
            for a in study.student_runs
            if study.learns_from(a) is None
            and ensemble == (a.distils.ensemble if a.distils else study.ensembles_in_order[0])
        ]
        place.train(first_seeds_first(study, [*wait, *alone]), monitor.part(0.65, 1))


def _measure(place: _Place, wanted: Sequence[str], monitor: Monitor) -> None:
    """Bundle what is trained, try it on the cases held back, and report."""
    run, dataset = place.folder, place.dataset
    study = run.study
    bundles = write_bundles(study, dataset, run, monitor.part(0, 0.2))
    # the test cases are opened once, after everything has been decided on validation
    for stage, split, start in (("validate", "val", 0.2), ("test", "test", 0.6)):
        if stage not in wanted:
            return
        part = monitor.part(start, start + 0.4)
        results = assess(study, dataset, run, bundles, split, part, study.evaluation)
    machine = f"{platform.machine()}, {available_cores()} cores, {choose_device('auto')[0]}"
    note_measured(bundles, results, f"{study.dataset}, test", machine)
    if "report" in wanted:
        write_report(run, run.root / "report", place.data)


def first_seeds_first(study: Study, runs: Sequence[Arm]) -> list[Arm]:
    """In the study's order, the first run of every arm before the second of any.

    A study that is stopped has then compared most of its arms, if with fewer seeds.
    """
    rounds = {run.name: n for arm in study.students for n, run in enumerate(arm.runs())}
    place = {run.name: n for n, run in enumerate(study.student_runs)}
    return sorted(runs, key=lambda run: (rounds[run.name], place[run.name]))
