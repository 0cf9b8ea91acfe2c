"""The bundles that a study makes: its ensemble and each student."""

from __future__ import annotations

from collections.abc import Sequence

from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.bundles.description import FORMAT_VERSION, Description
from KDSegmentationLogic.bundles.writing import save_bundle
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Arm, Study


def ensemble_name(study: Study) -> str:
    return f"{study.bundle.name}-ensemble"


def student_name(study: Study, student: Arm) -> str:
    return f"{study.bundle.name}-{student.name}"


def write_bundles(study: Study, folder: RunFolder) -> list[Bundle]:
    """Write (once) the ensemble's bundle, weights in half precision, and the students'."""
    relative = student_name(study, study.students[0]) if study.students else None
    bundles = [_write(study, folder, ensemble_name(study), study.teachers, relative)]
    for student in study.students:
        name = student_name(study, student)
        bundles.append(_write(study, folder, name, [student], ensemble_name(study)))
    return bundles


def _write(
    study: Study, folder: RunFolder, name: str, arms: Sequence[Arm], relative: str | None
) -> Bundle:
    target = folder.bundle(name, arms)
    if target.is_dir():
        return load_bundle(target)
    ensemble = len(arms) > 1
    return save_bundle(
        target,
        _description(study, arms, "ensemble" if ensemble else "student", relative),
        [folder.network(arm) for arm in arms],
        half=ensemble,
        licence_text=_licence(study),
    )


def _description(study: Study, arms: Sequence[Arm], kind: str, relative: str | None) -> Description:
    text = study.bundle
    several = f", ensemble of {len(arms)} networks" if len(arms) > 1 else ", distilled student"
    return Description(
        format_version=FORMAT_VERSION,
        kind=kind,  # type: ignore[arg-type]
        title=text.title + several,
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
