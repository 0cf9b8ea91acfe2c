"""The stages of a study, each a function of the study, the data set and the run's folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from KDSegmentationLogic.distillation.merging import merged
from KDSegmentationLogic.distillation.teaching import OnlineTeacher
from KDSegmentationLogic.errors import DatasetError, TrainingError, UsageError
from KDSegmentationLogic.inference.engines.registry import available_cores
from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine
from KDSegmentationLogic.inference.predict import Runner
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.channels import dataset_of
from KDSegmentationLogic.studies.definition import Arm, Distils, Study, read_study
from KDSegmentationLogic.studies.scheduling import Scheduler, Task
from KDSegmentationLogic.training.cases import TrainingCase, load_cases
from KDSegmentationLogic.training.cotraining import Learner, train_together
from KDSegmentationLogic.training.dataset import CaseFiles, Dataset
from KDSegmentationLogic.training.folds import folds_by_group, split_by_group
from KDSegmentationLogic.training.hardware import Hardware, chosen_precision, open_fabric
from KDSegmentationLogic.training.losses import Objective
from KDSegmentationLogic.training.trainer import Trainer
from KDSegmentationLogic.training.validation import case_probabilities


def train_arms(
    study_file: Path,
    data: Path,
    folder: RunFolder,
    arms: Sequence[Arm],
    scheduler: Scheduler,
    hardware: Hardware,
    monitor: Monitor,
) -> None:
    """Train those arms that are not trained yet, cores shared evenly.

    Two trainings of one thread beside each other do 1.9 times the work of one; one training
    on two threads does 1.6 times. The threads do not depend on what is already trained: a
    resumed run computes what an undisturbed one would have.
    """
    jobs = 1 if scheduler.address is not None else max(1, min(scheduler.jobs, len(arms)))
    threads = max(1, available_cores() // jobs)
    if scheduler.address is not None:
        threads = 1  # a Dask worker says how many tasks it takes; each gets one core
    tasks = [
        Task(
            f"train {arm.name}",
            train_arm,
            (study_file, data, folder.root, arm.name, threads, hardware),
            version=folder.arm(arm).name,
        )
        for arm in arms
        if not folder.is_trained(arm)
    ]
    scheduler.run(tasks, monitor)


def train_arm(
    study_file: Path,
    data: Path,
    root: Path,
    name: str,
    threads: int | None = 1,
    hardware: Hardware | None = None,
    monitor: Monitor | None = None,
) -> None:
    """Train one arm in this process, from its checkpoint where there is one.

    threads : for the whole process; None leaves them as they are.

    Raises
    ------
    UsageError : the study has no arm of that name.
    TrainingError, DatasetError : with the cause and the remedy.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    monitor = monitor or Monitor()
    study = read_study(study_file)
    folder = RunFolder(root, study)
    try:
        arm = study.arm(name)
    except ValueError as error:
        known = ", ".join(a.name for a in (*study.teacher_runs, *study.student_runs))
        raise UsageError(f"In {study_file}: {error}.", f"Choose from: {known}.") from None
    dataset = dataset_of(study, data)
    folder.keep_lists(dataset)
    hardware = hardware or Hardware("cpu")
    fabric = open_fabric(hardware)
    device = fabric.device.type
    precision = chosen_precision(hardware, device)
    if study.learns_from(arm) is not None and not _is_beside_its_teacher(study, arm):
        if fabric.is_global_zero:
            compute_targets(study, dataset, folder, [arm], monitor.part(0, 0.01), device)
        fabric.barrier()  # the other processes read what the first has written
    training = training_cases(study, dataset, folder, arm, monitor.part(0.01, 0.02))
    validation = read_cases(study, folder, dataset.split("val"), monitor.part(0.02, 0.03))
    knows = study.knows(arm)
    training, validation = (
        [case.of_classes(knows) for case in cases] for cases in (training, validation)
    )
    resolved = folder.resolved(arm)
    if _is_beside_its_teacher(study, arm):
        (teacher,) = study.teaching(study.distilled(arm))
        leads, learns = (
            Learner(a.member(), a.schedule, a.run_seed, study.sees(a)) for a in (teacher, arm)
        )
        both = train_together(
            leads,
            learns,
            training,
            validation,
            folder.checkpoint(arm),
            monitor.part(0.03, 1),
            ramp=study.distilled(arm).ramp,
            fabric=fabric,
            logs=folder.logs(arm),
        )
        for one, trained in zip((teacher, arm), both, strict=True):
            # a teacher alone comes to the same weights: there is nothing to write twice
            if fabric.is_global_zero and not folder.is_trained(one):
                folder.save_trained(one, trained, precision)
        return
    trainer = Trainer(
        resolved.member(),
        resolved.schedule,
        training,
        validation,
        resolved.run_seed,
        folder.checkpoint(arm),
        fabric,
        folder.logs(arm),
        _online_teacher(study, folder, arm),
        study.sees(resolved),
    )
    trained = trainer.run(monitor.part(0.03, 1))
    if fabric.is_global_zero:
        folder.save_trained(arm, trained, precision)


def training_cases(
    study: Study, dataset: Dataset, folder: RunFolder, arm: Arm, monitor: Monitor
) -> list[TrainingCase]:
    """What an arm learns from: its share of the cases of its folds, with soft targets where it
    has a teacher."""
    left_out = held_out(dataset, arm)
    files = [case for case in dataset.split("train") if case.name not in left_out]
    cases = read_cases(study, folder, files, monitor)
    if study.learns_from(arm) is None:
        return cases
    distils = study.distilled(arm)
    if distils.meanwhile or distils.online:
        return cases
    targets = folder.targets(distils)
    taught = []
    for case in cases:
        soft = targets.load(case.name)
        taught.append(case.with_soft(soft.mean, soft.deviation))
    if distils.unlabelled:
        taught += _without_labels(study, dataset, folder, distils, monitor)
    return taught


def _is_beside_its_teacher(study: Study, arm: Arm) -> bool:
    return study.learns_from(arm) is not None and study.distilled(arm).meanwhile


def _online_teacher(study: Study, folder: RunFolder, arm: Arm) -> OnlineTeacher | None:
    """The trained members that an arm asks about each batch, where it does."""
    if study.learns_from(arm) is None or not study.distilled(arm).online:
        return None
    members, objective = folder.trained_members(arm), Objective(arm.schedule.losses)
    named = study.distilled(arm).features_of
    read = study.arm(named) if named else folder.best(members)
    networks = [folder.network(member) for member in members]
    return OnlineTeacher(
        networks,
        objective.layers,
        members.index(read),
        probabilities=objective.reads_probabilities,
        deviation=objective.needs_deviation,
        sees=study.sees(members[0]),
        knows=[study.knows(member) for member in members],
    )


def _without_labels(
    study: Study, dataset: Dataset, folder: RunFolder, distils: Distils, monitor: Monitor
) -> list[TrainingCase]:
    """Cases on which the members agree, with the ensemble's labels for their own."""
    targets = folder.targets(distils)
    soft = {case.name: targets.load(case.name) for case in dataset.split("unlabelled")}
    stable = {name for name, target in soft.items() if target.agreement >= distils.stability}
    monitor.notice(
        f"{len(stable)} of {len(soft)} cases without labels are used: "
        f"there the members agree by a mean Dice of {distils.stability} or more."
    )
    files = [case for case in dataset.split("unlabelled") if case.name in stable]
    cases = []
    for case in read_cases(study, folder, files, monitor, labelled=False):
        target = soft[case.name]
        labels = target.mean.argmax(0).astype(np.uint8)
        known = replace(case, labels=labels)
        cases.append(known.with_soft(target.mean, target.deviation))
    return cases


def held_out(dataset: Dataset, arm: Arm) -> frozenset[str]:
    """The training cases that an arm of a fold, or of a share of the cases, is not trained on."""
    groups = {name: dataset.groups.get(name, name) for name in dataset.splits["train"]}
    left_out: set[str] = set()
    if arm.fold is not None:
        left_out.update(folds_by_group(groups, arm.folds)[arm.fold])
    if arm.share < 1:
        rest = {name: group for name, group in groups.items() if name not in left_out}
        left_out.update(split_by_group(rest, {"learned": arm.share}, "left out")["left out"])
    return frozenset(left_out)


def read_cases(
    study: Study,
    folder: RunFolder,
    files: Sequence[CaseFiles],
    monitor: Monitor,
    labelled: bool = True,
) -> list[TrainingCase]:
    """Cases on the study's grid, preprocessed once for all trainings."""
    values = [label.value for label in study.labels]
    return load_cases(
        files, study.channels, study.grid, values, monitor, folder.root, needs_labels=labelled
    )


def compute_targets(
    study: Study,
    dataset: Dataset,
    folder: RunFolder,
    students: Sequence[Arm],
    monitor: Monitor,
    device: str = "cpu",
) -> None:
    """The soft targets that these students need and that are not there, each case once.

    Raises
    ------
    TrainingError : a teacher is not trained, or no member may say anything of a case.
    """
    wanted = [student for student in students if not study.distilled(student).online]
    places = [folder.targets(study.distilled(student)).folder for student in wanted]
    by_folder = dict(zip(places, wanted, strict=True))
    # a folder is shared by students that differ in what they do with the cases without labels
    each = zip(places, wanted, strict=True)
    unlabelled = {place for place, student in each if study.distilled(student).unlabelled}
    for number, (place, student) in enumerate(by_folder.items()):
        part = monitor.part(number / len(by_folder), (number + 1) / len(by_folder))
        names = [case.name for case in dataset.split("train")]
        _compute_targets(study, dataset, folder, student, names, part, device, labelled=True)
        if place in unlabelled:
            names = [case.name for case in dataset.split("unlabelled")]
            if not names:
                raise DatasetError(
                    f"The data set {dataset.name} has no cases without labels.",
                    "List some under 'unlabelled' in splits.json.",
                )
            _compute_targets(study, dataset, folder, student, names, part, device, labelled=False)


def _compute_targets(
    study: Study,
    dataset: Dataset,
    folder: RunFolder,
    student: Arm,
    names: Sequence[str],
    monitor: Monitor,
    device: str,
    labelled: bool,
) -> None:
    distils = study.distilled(student)
    targets = folder.targets(distils)
    missing = [dataset.cases[name] for name in names if not targets.path(name).is_file()]
    if not missing:
        return
    members = folder.trained_members(student)
    runners = [
        Runner(arm.member(), TorchEngine(folder.network(arm), device=device)) for arm in members
    ]
    saw = [_seen(dataset, arm) if distils.out_of_fold else frozenset() for arm in members]
    cases = read_cases(study, folder, missing, monitor.part(0, 0.1), labelled)
    for number, case in enumerate(cases, 1):
        teaching = [r for r, seen in zip(runners, saw, strict=True) if case.name not in seen]
        if not teaching:
            raise TrainingError(
                f"Every member of {distils.ensemble} was trained on {case.name}.",
                "Give the members folds that leave each case out once.",
            )
        image = case.seen_by(study.sees(members[0]))
        each = [case_probabilities(image, [runner]) for runner in teaching]
        knows = [study.knows(arm) for arm in members]
        if any(knows):
            heard = merged([torch.from_numpy(p)[None] for p in each], knows)[0].numpy()
            # members that know different structures have nothing to agree on
            targets.save(case.name, heard, np.zeros_like(heard), 1.0)
        else:
            agreed = agreement(p.argmax(0) for p in each)
            targets.save(case.name, np.mean(each, axis=0), np.std(each, axis=0), agreed)
        monitor.report(0.1 + 0.9 * number / len(cases), f"soft target of {case.name}")


def _seen(dataset: Dataset, arm: Arm) -> frozenset[str]:
    return frozenset(dataset.splits["train"]) - held_out(dataset, arm)


def agreement(labels: Iterable[np.ndarray]) -> float:
    """Mean Dice between every two label maps over the structures of either; alone: 1.

    Where none of several finds anything it is 0: they may have failed alike.
    """
    maps = list(labels)
    if len(maps) == 1:
        return 1.0
    scores = []
    for a, b in combinations(maps, 2):
        for k in sorted((set(np.unique(a)) | set(np.unique(b))) - {0}):
            size = int((a == k).sum()) + int((b == k).sum())
            scores.append(2 * int(((a == k) & (b == k)).sum()) / size)
    return float(np.mean(scores)) if scores else 0.0
