"""The bundles that a study makes: its ensemble and each student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.bundles.description import FORMAT_VERSION, Description
from KDSegmentationLogic.bundles.writing import save_bundle
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Arm, Study

Kind = Literal["ensemble", "network", "student"]


def write_bundles(study: Study, folder: RunFolder) -> list[Bundle]:
    """Write (once) the teachers' bundle, weights in half precision, and the students'.

    Several teachers are one bundle ``<name>-ensemble``, a single one is ``<name>-teacher``.
    """
    several = len(study.teachers) > 1
    kind: Kind = "ensemble" if several else "network"
    teachers = f"{study.bundle.name}-{'ensemble' if several else 'teacher'}"
    students = [f"{study.bundle.name}-{student.name}" for student in study.students]
    relative = students[0] if students else None
    return [
        _write(study, folder, teachers, study.teachers, kind, relative),
        *(
            _write(study, folder, name, [student], "student", teachers)
            for name, student in zip(students, study.students, strict=True)
        ),
    ]


def _write(
    study: Study,
    folder: RunFolder,
    name: str,
    arms: Sequence[Arm],
    kind: Kind,
    relative: str | None,
) -> Bundle:
    description = _description(study, arms, kind, relative)
    target = folder.bundle(name, description, arms)
    if target.is_dir():
        return load_bundle(target)
    return save_bundle(
        target,
        description,
        [folder.network(arm) for arm in arms],
        half=kind != "student",
        licence_text=_licence(study),
    )


def _description(
    study: Study, arms: Sequence[Arm], kind: Kind, relative: str | None
) -> Description:
    text = study.bundle
    what = {
        "ensemble": f"ensemble of {len(arms)} networks",
        "network": "teacher",
        "student": "distilled student",
    }[kind]
    return Description(
        format_version=FORMAT_VERSION,
        kind=kind,
        title=f"{text.title}, {what}",
        summary=text.summary,
        channels=study.channels,
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
