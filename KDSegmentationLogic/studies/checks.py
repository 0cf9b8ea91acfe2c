"""What of a study's arms must fit together, found before the hours of training and not after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from KDSegmentationLogic.studies.names import BEST_MEMBER
from KDSegmentationLogic.training.losses import Objective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from KDSegmentationLogic.studies.definition import Arm, Study

# what makes the batches of two networks that are trained together the same
_SHARED = ("steps", "batch", "validate_every", "foreground", "mirror", "within", "augmentation")


def require(condition: bool, problem: str) -> None:
    """ValueError of that text unless the condition holds."""
    if not condition:
        raise ValueError(problem)


def check_regions(study: Study) -> None:
    """The regions that are measured are unions of the study's labels.

    Raises
    ------
    ValueError : they are not.
    """
    known = {label.value for label in study.labels}
    for region in study.evaluation.regions:
        for value in region.labels:
            require(value in known, f"the region {region.name} has the label {value}, unknown here")


def check_sizes(study: Study, arm: Arm) -> None:
    """A network takes the channels that its arm sees and gives the study's classes.

    Raises
    ------
    ValueError : it does not, or the study has no such channel.
    """
    known = [channel.name for channel in study.channels]
    labels = [label.name for label in study.labels]
    for verb, kind, named, there in (
        ("sees", "channel", arm.channels, known),
        ("knows", "label", arm.labels, labels),
    ):
        for name in named:
            require(
                name in there,
                f"{arm.name} {verb} the {kind} {name}, but the study has only {', '.join(there)}",
            )
        require(len(set(named)) == len(named), f"{arm.name} names a {kind} twice")
    seen = arm.channels or known
    sizes = {"in_channels": len(seen), "classes": len(arm.labels or study.labels) + 1}
    for key, size in sizes.items():
        found = arm.arguments[key]
        what = f" for {', '.join(seen)}" if arm.channels and key == "in_channels" else ""
        require(found == size, f"the study needs {key} {size}{what}, {arm.name} has {found}")
    flat = len(arm.patch) <= study.grid.dimensions
    require(flat, f"{arm.name} is a 3-D network on a 2-D grid")


def check_members(study: Study, ensemble: str) -> None:
    """They all see the same channels: a bundle has one list of them.

    Raises
    ------
    ValueError : they do not.
    """
    first, *others = study.members(ensemble)
    for other in others:
        require(
            study.sees(other) == study.sees(first),
            f"{first.name} and {other.name} are in the ensemble {ensemble} and see different "
            "channels",
        )


def in_order(study: Study) -> tuple[str, ...]:
    """The ensembles' names, each after those that its members learn from.

    Raises
    ------
    ValueError : some members learn, in the end, from themselves.
    """
    done: list[str] = []

    def visit(name: str, way: tuple[str, ...]) -> None:
        require(name not in way, f"the ensemble {name} has a member that learns from it")
        if name in done:
            return
        for member in study.members(name):
            above = study.learns_from(member)
            if above is not None:
                visit(above, (*way, name))
        done.append(name)

    for name in study.ensemble_names:
        visit(name, ())
    return tuple(done)


def check_terms(study: Study, arm: Arm) -> None:
    """The losses say something of as many classes as there are.

    Raises
    ------
    ValueError : they do not.
    """
    classes = len(study.labels) + 1
    for name, term in Objective(arm.schedule.losses).terms.items():
        require(
            classes >= term.fewest_classes,
            f"the loss {name} of {arm.name} needs {term.fewest_classes} classes with background, "
            f"the study has {classes}",
        )


def check_student(study: Study, arm: Arm) -> None:
    """A student's teachers are there and can give what it learns from.

    Raises
    ------
    ValueError : they are not, or cannot.
    """
    require(not arm.labels, f"{arm.name} is a student: it learns all labels")
    if not Objective(arm.schedule.losses).needs_teacher:
        if arm.architecture == BEST_MEMBER:
            require(
                arm.distils is not None,
                f"{arm.name} names no ensemble to take the best member of; give it distils",
            )
            ensemble = study.distilled(arm).ensemble
            require(
                study.is_whole(ensemble),
                f"the best member of {ensemble} for {arm.name} may know some labels only",
            )
        return
    check_terms(study, arm)
    distils = study.distilled(arm)
    members = study.members(distils.ensemble)
    if distils.paired:
        require(
            len(members) == len(arm.runs()),
            f"{arm.name} is paired with {len(members)} members of {distils.ensemble}, "
            f"but has {len(arm.runs())} runs",
        )
    if distils.meanwhile:
        for run in arm.runs():
            check_pair(study, run)
    for run in arm.runs():
        check_folds(study, run)
        check_labels(study, run)
        check_disagreement(study, run)
        check_online(study, run)


def check_folds(study: Study, student: Arm) -> None:
    """Where targets are wanted out of fold, some teacher has not seen each case.

    Raises
    ------
    ValueError : none has not.
    """
    distils = study.distilled(student)
    if not distils.out_of_fold:
        return
    members = study.teaching(distils)
    counts = {member.folds for member in members}
    require(
        all(member.fold is not None for member in members),
        f"{student.name} wants targets out of fold, but its teachers have no folds",
    )
    require(
        any({m.fold for m in members if m.folds == of} == {*range(of)} for of in counts),
        f"{student.name} wants targets out of fold, but not all folds are among its teachers",
    )


def check_disagreement(study: Study, student: Arm) -> None:
    """Where it matters how far the members agree, each case is spoken for by several.

    Raises
    ------
    ValueError : one says all there is.
    """
    distils = study.distilled(student)
    members = study.teaching(distils)
    speaking = len({m.run_seed for m in members}) if distils.out_of_fold else len(members)
    for wanted, needs in (
        ("the loss deviation", Objective(student.schedule.losses).needs_deviation),
        ("unlabelled", distils.unlabelled),
    ):
        require(
            not needs or speaking > 1,
            f"{wanted} of {student.name} asks how far its teachers agree, but each case has one",
        )


def check_pair(study: Study, student: Arm) -> None:
    """Two networks that are trained together see the same batches.

    Raises
    ------
    ValueError : they would not, or ask for what a teacher in training cannot give.
    """
    distils, objective = study.distilled(student), Objective(student.schedule.losses)
    members = study.teaching(distils)
    require(
        len(members) == 1,
        f"{student.name} is trained beside one teacher, but learns from {len(members)}",
    )
    (teacher,) = members
    require(
        study.learns_from(teacher) is None,
        f"{student.name} is trained beside {teacher.name}, which learns from others itself",
    )
    differing = [
        name
        for one, other, names in (
            (student, teacher, ("patch", "views", "fold", "folds", "share")),
            (student.schedule, teacher.schedule, _SHARED),
        )
        for name in names
        if getattr(one, name) != getattr(other, name)
    ]
    require(
        not differing,
        f"{student.name} and {teacher.name} are trained together and differ in "
        f"{', '.join(differing)}",
    )
    plain = BEST_MEMBER not in (student.architecture, teacher.architecture)
    require(plain, f"{student.name} cannot be trained together with its {BEST_MEMBER}")
    require(
        not (distils.out_of_fold or distils.unlabelled),
        f"{student.name} learns from a teacher in training: neither out_of_fold nor "
        "unlabelled go with it",
    )
    require(
        not objective.needs_deviation,
        f"{student.name} learns from one teacher, which has no deviation",
    )
    require(
        not objective.layers,
        f"{student.name} is trained beside its teacher, whose features no term can read then",
    )


def check_labels(study: Study, student: Arm) -> None:
    """Teachers of some labels each know all labels together, and none of them twice.

    Raises
    ------
    ValueError : they do not, or the student asks for what they cannot give together.
    """
    distils = study.distilled(student)
    kinds = {study.knows(member) for member in study.teaching(distils)}
    if not any(kinds):
        return
    known = [k for kind in kinds for k in (kind or range(1, len(study.labels) + 1))]
    for k, label in enumerate(study.labels, 1):
        require(k in known, f"no teacher of {student.name} knows {label.name}")
        require(
            known.count(k) == 1,
            f"the teachers of {student.name} that know {label.name} differ in what else they know",
        )
    stored = distils.out_of_fold or distils.unlabelled or distils.meanwhile
    require(
        not (stored or student.architecture == BEST_MEMBER),
        f"{student.name} learns from teachers of some labels each: neither out_of_fold, unlabelled "
        f"nor meanwhile go with them, nor {BEST_MEMBER}",
    )
    require(
        not Objective(student.schedule.losses).needs_deviation,
        f"{student.name} learns from teachers of some labels each, which have no deviation",
    )


def check_online(study: Study, student: Arm) -> None:
    """The members that are asked during the training can be, and have what is read of them.

    Raises
    ------
    ValueError : they do not fit the student's patch, or a layer is missing.
    """
    distils, layers = study.distilled(student), Objective(student.schedule.losses).layers
    require(
        distils.online or not layers,
        f"the losses of {student.name} read layers, which needs distils: {{online: true}}",
    )
    if not distils.online:
        return
    members = study.teaching(distils)
    # the architecture of its best member is any of theirs
    possible = members if student.architecture == BEST_MEMBER else (student,)
    for arm in possible:
        for member in members:
            _check_patch(student, arm, member)
    named = {member.name: member for member in members}
    require(
        not distils.features_of or distils.features_of in named,
        f"{student.name} reads features of {distils.features_of}, which is not among its "
        f"teachers {', '.join(named)}",
    )
    read = [named[distils.features_of]] if distils.features_of else members
    for arm in (*possible, *read):
        _check_layers(student, arm, layers)


def _check_patch(student: Arm, arm: Arm, member: Arm) -> None:
    """A member gets the patches that ``arm`` is trained on, the student or what it turns into."""
    problem = f"{student.name} cannot ask {member.name} during its training: "
    require(
        len(member.patch) == len(arm.patch),
        f"{problem}one sees slices, the other volumes; leave out online",
    )
    divisor = member.shape().divisor
    require(
        all(size % d == 0 for size, d in zip(arm.patch, divisor, strict=True)),
        f"{problem}the patch's sizes must be multiples of {divisor}",
    )
    strange = sorted(set(arm.views) - set(member.views))
    require(not strange, f"{problem}it has never seen the view {', '.join(strange)}")


def _check_layers(student: Arm, arm: Arm, layers: Sequence[str]) -> None:
    known = arm.shape().layers
    for name in layers:
        require(
            name in known,
            f"the losses of {student.name} read the layer {name}, which {arm.name} "
            f"({arm.architecture}) lacks; it has {', '.join(known)}",
        )
