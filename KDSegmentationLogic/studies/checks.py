"""What of a study's arms must fit together, found before the hours of training and not after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from KDSegmentationLogic.studies.names import BEST_MEMBER
from KDSegmentationLogic.training.losses import Objective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from KDSegmentationLogic.studies.definition import Arm, Study

# what makes the batches of two networks that are trained together the same
_SHARED = ("steps", "batch", "validate_every", "foreground", "mirror", "augmentation")


def require(condition: bool, problem: str) -> None:
    """ValueError of that text unless the condition holds."""
    if not condition:
        raise ValueError(problem)


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
            (student, teacher, ("patch", "views", "fold", "folds")),
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
