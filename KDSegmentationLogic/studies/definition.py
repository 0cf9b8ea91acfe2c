"""A study as its YAML file states it. It names its data set; the folder comes from outside.

teachers:   networks that learn from labels, each once a seed and once a fold
ensembles:  named groups of teachers; without this entry all of them are one, "ensemble"
students:   networks that learn from an ensemble, or from labels alone as the baseline
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from KDSegmentationLogic.bundles.decoding import DecodingError, decode
from KDSegmentationLogic.bundles.description import (
    Channel,
    Expectation,
    FieldOfView,
    Grid,
    Label,
    Member,
    View,
)
from KDSegmentationLogic.errors import TrainingError, UsageError
from KDSegmentationLogic.studies import checks
from KDSegmentationLogic.studies.channels import numbers_of
from KDSegmentationLogic.studies.checks import require as _require
from KDSegmentationLogic.studies.names import BEST_MEMBER as BEST_MEMBER
from KDSegmentationLogic.studies.names import is_plain
from KDSegmentationLogic.studies.protocol import Protocol
from KDSegmentationLogic.studies.shapes import Shape, shape_of
from KDSegmentationLogic.training.losses import Objective
from KDSegmentationLogic.training.schedule import Schedule

Kind = Literal["ensemble", "network", "student"]

DEFAULT_ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Distils:
    """What a student learns from.

    ensemble : its name.
    out_of_fold : each case's targets come from those members only that were not trained on it;
        the members need ``folds``.
    unlabelled : also learn from the cases of the data set's list "unlabelled", whose labels are
        the ensemble's own; a case counts only where the members agree, by a mean Dice between
        them of at least ``stability``.
    paired : the n-th run of the student learns from the n-th member alone, and not from all;
        ``only`` is that member's number, set in each run and not in a study file.
    meanwhile : the one member that it learns from is trained in the same run, step by step on
        the same batches (Liu et al. 2024); its best weights by validation are kept as those of
        any teacher. ``ramp`` is for it alone: see ``train_together``.
    online : the members are asked about each augmented batch, and nothing is stored; terms that
        read layers need it. ``features_of`` names the member whose layers they read; the best
        by validation where it does not say.

    Raises
    ------
    ValueError : a stability out of 0 to 1, or settings that do not go together.
    """

    ensemble: str = DEFAULT_ENSEMBLE
    out_of_fold: bool = False
    unlabelled: bool = False
    stability: float = 0.7
    paired: bool = False
    only: int | None = None
    meanwhile: bool = False
    ramp: int = 0
    online: bool = False
    features_of: str = ""

    def __post_init__(self) -> None:
        _require(0 <= self.stability <= 1, "the stability must be a Dice from 0 to 1")
        _require(self.ramp >= 0, "the ramp must not be below zero")
        _require(not self.ramp or self.meanwhile, "only a training with meanwhile has a ramp")
        _require(self.online or not self.features_of, "features_of goes with online alone")
        others = (self.out_of_fold, self.unlabelled, self.meanwhile)
        _require(
            not (self.online and any(others)),
            "neither out_of_fold nor unlabelled nor meanwhile goes with online",
        )


@dataclass(frozen=True)
class Arm:
    """One network to train, or with ``seeds`` or ``folds`` several that differ in nothing else.

    Fields as in ``Member`` and ``Schedule``, and:

    seed, seeds : one of them. The runs of several are called ``<name>-s<seed>``.
    channels : names of the study's channels that its network sees, in the study's order; empty:
        all of them. Teacher and student may see different ones (a missing modality).
    labels : names of the study's labels that a teacher knows; empty: all of them. The others
        are background to it. Several such teachers are merged for a student of all of them.
    folds : train once a fold, without the cases of that fold (whose patients stay together);
        called ``<name>-f<fold>``. ``fold`` is set in each run and not in a study file.
    share : of the training patients, those that it learns from; always the same ones of a fold or
        of all, so that arms can be compared with few data.
    distils : for a student that learns from an ensemble, or whose architecture is that of its
        best member: with losses on labels alone, such a student is the baseline of another.
    """

    name: str
    architecture: str
    schedule: Schedule
    arguments: dict[str, Any] = field(default_factory=dict)
    patch: tuple[int, ...] = ()
    seed: int | None = None
    seeds: tuple[int, ...] = ()
    folds: int = 0
    fold: int | None = None
    views: tuple[View, ...] = ()
    whole: bool = True
    overlap: float = 0.5
    distils: Distils | None = None
    channels: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    share: float = 1.0

    def __post_init__(self) -> None:
        # now, and not after the hours that the arms before it train
        _require_plain(self.name, "arm's name")
        _require((self.seed is None) == bool(self.seeds), "give either a seed or seeds")
        seeds = self.seeds or (self.seed,)
        _require(all(s is not None and s >= 0 for s in seeds), "a seed must not be below zero")
        _require(len(set(seeds)) == len(seeds), "a seed is given twice")
        _require(self.folds == 0 or self.folds >= 2, "folds must be 2 or more")
        _require(0 < self.share <= 1, "the share must be above 0 and at most 1")
        try:
            objective = Objective(self.schedule.losses)
        except TrainingError as error:
            raise ValueError(str(error).rstrip(".")) from None
        _require(
            objective.needs_teacher or self.distils is None or self.architecture == BEST_MEMBER,
            "it distils an ensemble, but none of its losses compares with a teacher",
        )
        if self.architecture == BEST_MEMBER:
            _require(
                not objective.needs_deviation,
                f"the loss deviation needs a network with a second head, which {BEST_MEMBER} "
                "may lack; name the architecture",
            )
            _require(
                not (self.arguments or self.patch or self.views or self.channels),
                f"{BEST_MEMBER} takes arguments, patch, views and channels from that member",
            )
        else:
            self._check_network()

    def _check_network(self) -> None:
        shape = self.shape()
        learned = Objective(self.schedule.losses).needs_deviation
        _require(
            learned == bool(self.arguments.get("deviation")),
            "the loss deviation and the network's argument deviation go together",
        )
        wanted = self.member().dimensions
        _require(shape.dimensions == wanted, f"{self.architecture} is not {wanted}-D")
        _require(
            all(size % d == 0 for size, d in zip(self.patch, shape.divisor, strict=True)),
            f"the patch's sizes must be multiples of {shape.divisor}",
        )

    def shape(self) -> Shape:
        """What its network is like.

        Raises
        ------
        ValueError : it cannot be built.
        """
        return shape_of(self.architecture, json.dumps(self.arguments, default=str))

    @property
    def run_seed(self) -> int:
        """The seed of a single run."""
        if self.seed is None:
            raise ValueError(f"{self.name} stands for several runs")
        return self.seed

    def runs(self) -> tuple[Arm, ...]:
        """The single trainings that this arm stands for, each with its own name."""
        several = len(self.seeds) > 1
        runs: list[Arm] = []
        for number, seed in enumerate(self.seeds or (self.run_seed,)):
            name = f"{self.name}-s{seed}" if several else self.name
            run = replace(self, name=name, seed=seed, seeds=())
            if self.distils and self.distils.paired and self.distils.only is None:
                run = replace(run, distils=replace(self.distils, only=number))
            if self.folds and self.fold is None:
                runs += [replace(run, name=f"{name}-f{f}", fold=f) for f in range(self.folds)]
            else:
                runs.append(run)
        return tuple(runs)

    def member(self, sha256: str = "0" * 64) -> Member:
        """How the network is run; the checksum is known once the weights are written."""
        return Member(
            architecture=self.architecture,
            arguments=dict(self.arguments),
            weights=f"models/{self.name}.safetensors",
            sha256=sha256,
            patch=self.patch,
            whole=self.whole,
            overlap=self.overlap,
            views=self.views,
        )


@dataclass(frozen=True)
class BundleText:
    """What the bundles say in words. ``name``: the bundles are ``<name>-ensemble`` and so on."""

    name: str
    title: str
    summary: str
    expects: Expectation
    licence: str
    citation: str
    training_data: str

    def __post_init__(self) -> None:
        _require_plain(self.name, "bundle's name")


@dataclass(frozen=True)
class Ensemble:
    """A named group of trained networks.

    members : names of arms, each for all its runs, or of single runs. A student may be one,
        too: as the assistant between a teacher and a smaller student.
    """

    name: str
    members: tuple[str, ...]

    def __post_init__(self) -> None:
        _require_plain(self.name, "ensemble's name")


@dataclass(frozen=True)
class Study:
    """The whole file."""

    dataset: str
    channels: tuple[Channel, ...]
    grid: Grid
    labels: tuple[Label, ...]
    field_of_view: FieldOfView
    teachers: tuple[Arm, ...]
    students: tuple[Arm, ...]
    bundle: BundleText
    ensembles: tuple[Ensemble, ...] = ()
    evaluation: Protocol = field(default_factory=Protocol)

    def __post_init__(self) -> None:
        # any folder's name, whatever its letters
        inside = self.dataset not in ("", ".", "..") and not set("/\\") & set(self.dataset)
        _require(inside, f"the data set's name {self.dataset!r} is not a folder's")
        _require(bool(self.teachers), "a study needs teachers")
        _require(bool(self.channels) and bool(self.labels), "a study needs channels and labels")
        for what in ("value", "name"):
            values = {getattr(label, what) for label in self.labels}
            _require(len(values) == len(self.labels), f"two labels have the same {what}")
        checks.check_regions(self)
        # folders and files are named after the arms, and Windows does not tell A from a
        _distinct([arm.name for arm in (*self.teacher_runs, *self.student_runs)], "arms")
        self._check_ensembles()
        for arm in self.teachers:
            _require(
                not Objective(arm.schedule.losses).needs_teacher,
                f"the teacher {arm.name} cannot be trained with a distillation term",
            )
            _require(arm.architecture != BEST_MEMBER, f"the teacher {arm.name} has no members")
        for arm in (*self.teachers, *self.students):
            if arm.architecture != BEST_MEMBER:
                checks.check_sizes(self, arm)
        for name in self.ensemble_names:
            checks.check_members(self, name)
        for arm in self.students:
            checks.check_student(self, arm)
        checks.in_order(self)
        _require(
            bool(self.students) or any(map(self.is_whole, self.ensemble_names)),
            "no ensemble knows all labels and there is no student: there would be no model",
        )

    def _check_ensembles(self) -> None:
        _distinct([ensemble.name for ensemble in self.ensembles], "ensembles")
        arms = (*self.teachers, *self.students, *self.teacher_runs, *self.student_runs)
        known = {arm.name: arm for arm in arms}
        for ensemble in self.ensembles:
            _require(bool(ensemble.members), f"the ensemble {ensemble.name} has no member")
            for name in ensemble.members:
                _require(
                    name in known, f"{ensemble.name} names {name}, which is no teacher or student"
                )
                _require(
                    known[name].architecture != BEST_MEMBER,
                    f"{ensemble.name} names {name}, whose architecture is not known yet",
                )
            members = [member.name for member in self.members(ensemble.name)]
            _distinct(members, f"members of {ensemble.name}")
        # bundles and rows of reports are called after either
        both = {e.name.casefold() for e in self.ensembles} & {a.name.casefold() for a in arms}
        _require(not both, f"an ensemble and a network have one name: {', '.join(sorted(both))}")

    @property
    def teacher_runs(self) -> tuple[Arm, ...]:
        return tuple(run for arm in self.teachers for run in arm.runs())

    @property
    def student_runs(self) -> tuple[Arm, ...]:
        return tuple(run for arm in self.students for run in arm.runs())

    def sees(self, arm: Arm) -> tuple[int, ...]:
        """The numbers of the channels that an arm's network sees; empty: all of them."""
        return numbers_of(self.channels, arm.channels) if arm.channels else ()

    def knows(self, arm: Arm) -> tuple[int, ...]:
        """The classes, from 1 on, that an arm's network gives; empty: all of them."""
        known = [i for i, label in enumerate(self.labels, 1) if label.name in arm.labels]
        return () if len(known) == len(self.labels) else tuple(known)

    def is_whole(self, ensemble: str) -> bool:
        """Whether all its members give all classes, so that it can be bundled."""
        return not any(self.knows(member) for member in self.members(ensemble))

    @property
    def ensemble_names(self) -> tuple[str, ...]:
        return tuple(e.name for e in self.ensembles) or (DEFAULT_ENSEMBLE,)

    @property
    def ensembles_in_order(self) -> tuple[str, ...]:
        """Their names; one whose members learn from another one comes after that."""
        return checks.in_order(self)

    def members(self, ensemble: str) -> tuple[Arm, ...]:
        """The single runs of an ensemble.

        Raises
        ------
        ValueError : there is none of that name.
        """
        if not self.ensembles and ensemble == DEFAULT_ENSEMBLE:
            return self.teacher_runs
        for entry in self.ensembles:
            if entry.name == ensemble:
                single = (*self.teacher_runs, *self.student_runs)
                runs: dict[str, tuple[Arm, ...]] = {run.name: (run,) for run in single}
                runs |= {arm.name: arm.runs() for arm in (*self.teachers, *self.students)}
                return tuple(run for name in entry.members for run in runs[name])
        raise ValueError(f"there is no ensemble {ensemble}, only {', '.join(self.ensemble_names)}")

    def teaching(self, distils: Distils) -> tuple[Arm, ...]:
        """The members that a student with these settings learns from."""
        members = self.members(distils.ensemble)
        return members if distils.only is None else (members[distils.only],)

    @staticmethod
    def kind_of(arms: Sequence[Arm]) -> Kind:
        """What several teachers, or one alone, are called."""
        return "ensemble" if len(arms) > 1 else "network"

    def learns_from(self, student: Arm) -> str | None:
        """The name of the ensemble; none for a baseline."""
        if not Objective(student.schedule.losses).needs_teacher:
            return None
        return self.distilled(student).ensemble

    def distilled(self, student: Arm) -> Distils:
        """What a student learns from; the only ensemble where it does not say.

        Raises
        ------
        ValueError : there are several and it does not say which.
        """
        if student.distils is not None:
            return student.distils
        _require(len(self.ensemble_names) == 1, f"{student.name} does not say which it distils")
        return Distils(self.ensemble_names[0])

    def arm(self, name: str) -> Arm:
        """The single run of that name.

        Raises
        ------
        ValueError : there is none.
        """
        for arm in (*self.teacher_runs, *self.student_runs):
            if arm.name == name:
                return arm
        raise ValueError(f"there is no arm {name}")


def _require_plain(name: str, what: str) -> None:
    _require(is_plain(name), f"the {what} {name!r} is not a plain name")


def _distinct(names: Sequence[str], what: str) -> None:
    _require(len({name.casefold() for name in names}) == len(names), f"two {what} have one name")


class _UniqueKeys(yaml.SafeLoader):
    """Of two entries of one name YAML would keep the last, and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    problem=f"the entry {key} is given twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


def read_study(path: Path) -> Study:
    """Read a study file.

    Raises
    ------
    UsageError : missing, not YAML, or with an entry that does not fit.
    """
    if not path.is_file():
        raise UsageError(f"The study file {path} does not exist.", "Check the path.")
    try:
        content = yaml.load(path.read_text("utf-8"), _UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {error}.", "Correct the file.") from None
    try:
        return decode(Study, content, "study")
    except DecodingError as error:
        raise UsageError(f"{path}: {error}.", "Correct this entry.") from None
