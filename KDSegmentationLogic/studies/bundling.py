"""The bundles that a study makes: its ensembles, students and baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.bundles.description import FORMAT_VERSION, Description
from KDSegmentationLogic.bundles.writing import save_bundle
from KDSegmentationLogic.evaluation.calibration import near_structures
from KDSegmentationLogic.evaluation.temperature import Fitted, fit_temperature
from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine
from KDSegmentationLogic.inference.predict import Runner
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Arm, Kind, Study
from KDSegmentationLogic.studies.stages import read_cases
from KDSegmentationLogic.training.dataset import Dataset
from KDSegmentationLogic.training.validation import case_probabilities


def write_bundles(
    study: Study, dataset: Dataset, folder: RunFolder, monitor: Monitor
) -> list[Bundle]:
    """Write (once) every ensemble and every student whose networks are trained.

    An ensemble is called ``<bundle>-<ensemble>``, its weights in half precision; a student or
    baseline ``<bundle>-<run>``. Each carries the temperature that fits the validation cases.
    """
    whole, written = ready(folder), []
    for number, (name, arms) in enumerate(whole.items(), 1):
        written.append(_write(study, dataset, folder, name, arms))
        monitor.report(number / len(whole), f"bundle {name}")
    return written


def ready(folder: RunFolder) -> dict[str, tuple[Arm, ...]]:
    """The arms of each bundle of which every network is trained, by its name in the study.

    Of an ensemble that is not whole yet, each trained member is one of its own: a study that is
    stopped has then measured the teachers of its students.
    """
    bundled = _bundled(folder.study)
    whole = {name: arms for name, arms in bundled.items() if all(map(folder.is_trained, arms))}
    heard = {arm.name for arms in whole.values() for arm in arms}
    rest = [arm for name, arms in bundled.items() if name not in whole for arm in arms]
    alone = [arm for arm in rest if arm.name not in heard and folder.is_trained(arm)]
    return whole | {arm.name: (arm,) for arm in alone}


def _write(
    study: Study,
    dataset: Dataset,
    folder: RunFolder,
    name: str,
    arms: Sequence[Arm],
) -> Bundle:
    resolved = [folder.resolved(arm) for arm in arms]
    description = _described(study, resolved, name, arms)
    target = _place(folder, name, arms, description)
    if target.is_dir():
        return load_bundle(target)
    networks = [folder.network(arm) for arm in arms]
    fitted = common_temperature(study, dataset, folder, resolved, networks)
    members = tuple(replace(m, temperature=fitted.temperature) for m in description.members)
    return save_bundle(
        target,
        replace(description, members=members),
        networks,
        half=len(arms) > 1,
        licence_text=_licence(study),
    )


def place_of(folder: RunFolder, name: str) -> Path:
    """The folder of a bundle whose networks are trained; whether it is written or not."""
    arms = _bundled(folder.study)[name]
    resolved = [folder.resolved(arm) for arm in arms]
    return _place(folder, name, arms, _described(folder.study, resolved, name, arms))


def _place(folder: RunFolder, name: str, arms: Sequence[Arm], description: Description) -> Path:
    return folder.bundle(f"{folder.study.bundle.name}-{name}", description, arms)


def _bundled(study: Study) -> dict[str, tuple[Arm, ...]]:
    """The networks of each bundle that the study is to make, by what it is called in the study."""
    # teachers of some labels each are heard together by students alone
    whole = {name: study.members(name) for name in study.ensemble_names if study.is_whole(name)}
    return whole | {run.name: (run,) for run in study.student_runs}


def _relative(study: Study, name: str) -> str | None:
    """The bundle to compare with: a student's teachers, an ensemble's first student."""
    teachers = {run.name: _teachers_bundle(study, run) for run in study.student_runs}
    taught = (student for student, teacher in teachers.items() if teacher == name)
    relative = teachers[name] if name in teachers else next(taught, None)
    return f"{study.bundle.name}-{relative}" if relative else None


def _teachers_bundle(study: Study, student: Arm) -> str | None:
    """The bundle of those that a student learns from, and of no one else."""
    ensemble = study.learns_from(student)
    if ensemble is None:
        return None
    teaching = study.teaching(study.distilled(student))
    alike = [name for name, arms in _bundled(study).items() if arms == teaching]
    return ensemble if ensemble in alike else next(iter(alike), None)


def common_temperature(
    study: Study,
    dataset: Dataset,
    folder: RunFolder,
    arms: Sequence[Arm],
    networks: Sequence[SegmentationNetwork],
) -> Fitted:
    """The temperature, shared by all networks, that fits their mean to the validation cases.

    Over the voxels near the reference's structures, as the calibration is measured.
    """
    runners = [
        Runner(arm.member(), TorchEngine(network))
        for arm, network in zip(arms, networks, strict=True)
    ]
    margin = study.evaluation.foreground_margin
    cases = read_cases(study, folder, dataset.split("val"), Monitor())
    given: list[list[np.ndarray]] = [[] for _ in runners]
    truth = []
    for case in cases:
        near = near_structures(case.labels, case.spacing, margin)
        truth.append(case.labels[near])
        for found, runner in zip(given, runners, strict=True):
            image = case.seen_by(study.sees(arms[0]))
            found.append(case_probabilities(image, [runner])[:, near])
    return fit_temperature([np.concatenate(g, axis=1) for g in given], np.concatenate(truth))


def _described(
    study: Study, resolved: Sequence[Arm], name: str, arms: Sequence[Arm]
) -> Description:
    # an ensemble of one student is called otherwise than that
    is_student = arms[0].name == name and study.learns_from(arms[0]) is not None
    kind: Kind = "student" if is_student else study.kind_of(arms)
    return _description(study, resolved, kind, _relative(study, name))


def _description(
    study: Study, arms: Sequence[Arm], kind: Kind, relative: str | None
) -> Description:
    text = study.bundle
    what = {
        "ensemble": f"ensemble of {len(arms)} networks",
        "network": "single network",
        "student": "distilled student",
    }[kind]
    return Description(
        format_version=FORMAT_VERSION,
        kind=kind,
        title=f"{text.title}, {what}",
        summary=text.summary,
        channels=tuple(study.channels[i] for i in study.sees(arms[0])) or study.channels,
        grid=study.grid,
        members=tuple(arm.member() for arm in arms),
        labels=study.labels,
        field_of_view=study.field_of_view,
        expects=text.expects,
        licence=text.licence,
        citation=text.citation,
        training_data=text.training_data,
        relative=relative,
    )


def _licence(study: Study) -> str:
    return (
        f"The weights in this folder are licensed under {study.bundle.licence}, "
        "the licence of the data that they were trained on.\n\n"
        f"Training data: {study.bundle.training_data.strip()}\n\n"
        f"{study.bundle.citation.strip()}\n"
    )
