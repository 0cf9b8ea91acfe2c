"""A study's results, gathered from its run folder and grouped by the study's arms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from KDSegmentationLogic.bundles.decoding import decode, encode
from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.evaluation.calibration import Reliability
from KDSegmentationLogic.evaluation.statistics import by_unit
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.damage import read_json
from KDSegmentationLogic.studies.definition import Arm, Distils, Study
from KDSegmentationLogic.studies.protocol import Protocol
from KDSegmentationLogic.studies.results import Assessed, CaseResult, Cost, Opening, ResultStore
from KDSegmentationLogic.training.losses import LABEL_LOSSES, Objective

Role = Literal["ensemble", "student", "baseline", "member"]
ROLES: tuple[Role, ...] = ("ensemble", "student", "baseline", "member")

Measure = Callable[[CaseResult], float]


@dataclass(frozen=True)
class Run:
    """One model: an ensemble, or one training of an arm.

    results, places : by split; where its files are. facts : what its training noted.
    temperature : that divides its logits, of an ensemble those of all members.
    """

    name: str
    results: Mapping[str, Assessed]
    places: Mapping[str, Path]
    cost: Cost | None = None
    facts: Mapping[str, Any] | None = None
    temperature: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Group:
    """An arm of the study with all its runs, or an ensemble.

    members : of an ensemble, the names of its members' runs. distils : of a student, the
    ensemble's name; of one that learns from single members the name of their arm. meanwhile :
    from a teacher in training. network : architecture and arguments, by which like is compared
    with like, as by its course, the schedule but for the losses. label_losses : the names of its
    losses on labels. folds : each of its runs left some training cases out. share : of the
    training patients, those that it learnt from; a part of its course.
    """

    name: str
    role: Role
    runs: tuple[Run, ...]
    members: tuple[str, ...] = ()
    distils: str | None = None
    out_of_fold: bool = False
    network: str = ""
    meanwhile: bool = False
    label_losses: frozenset[str] = frozenset()
    folds: bool = False
    share: float = 1.0
    course: str = ""

    def is_like(self, other: Group) -> bool:
        """Whether the other one, trained from labels, tells what a teacher is worth to this."""
        return self.network == other.network and self.share == other.share and not other.folds

    def has(self, split: str) -> bool:
        return any(split in run.results for run in self.runs)

    def measured(self, split: str) -> list[Run]:
        return [run for run in self.runs if split in run.results]

    def values(self, split: str, of: Measure) -> dict[str, float]:
        """A figure of each case, mean over the runs that were measured."""
        found = [run.results[split].values(of) for run in self.measured(split)]
        return {case: float(np.mean([one[case] for one in found])) for case in found[0]}

    def run_means(self, split: str, of: Measure) -> list[float]:
        """The mean over cases of each run; cases where it is undefined do not count."""
        return [nanmean(run.results[split].values(of).values()) for run in self.measured(split)]

    def pooled_reliability(self, split: str) -> Reliability:
        """Bins over all voxels of all cases and runs."""
        results = [run.results[split] for run in self.measured(split)]
        return Reliability.of_all(case.reliability for found in results for case in found.cases)


@dataclass(frozen=True)
class Content:
    """All that a report is made of.

    patients : case to patient, of all splits. missing : what the study asks for and is not
    there. plan : the study's text. command : what makes it again.
    """

    study: Study
    groups: tuple[Group, ...]
    splits: tuple[str, ...]
    protocol: Protocol
    patients: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    openings: tuple[Opening, ...] = ()
    plan: str = ""
    command: str = ""

    @property
    def decisive(self) -> str:
        """The split that the report's claims are about."""
        return "test" if "test" in self.splits else self.splits[0]

    @property
    def unit(self) -> str:
        """Of lengths: mm, or px where the images are pictures without a length."""
        (first, *_) = self.of_role(*ROLES)
        return first.measured(self.decisive)[0].results[self.decisive].cases[0].structures[0].unit

    def of_role(self, *roles: Role) -> list[Group]:
        """The measured groups of these roles, in the study's order."""
        return [g for g in self.groups if g.role in roles and g.has(self.decisive)]

    def baselines_of(self, student: Group) -> list[Group]:
        """The same network from labels alone, trained in the same course where there is such."""
        alike = [group for group in self.of_role("baseline") if student.is_like(group)]
        return [group for group in alike if group.course == student.course] or alike

    def run(self, name: str) -> Run:
        return next(run for group in self.groups for run in group.runs if run.name == name)

    def counted(self, cases: Iterable[str]) -> str:
        """How many cases and patients, in words."""
        names = list(cases)
        patients = len(self.units(dict.fromkeys(names, 0.0)))
        if patients < len(names):
            return f"{len(names)} cases of {patients} patients"
        return f"{len(names)} cases, each counted as one patient"

    def units(self, values: Mapping[str, float]) -> dict[str, float]:
        """By patient instead of by case."""
        return by_unit(values, self.patients)


def nanmean(values: Any) -> float:
    """Mean of what is defined; nan where nothing is."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def gather(folder: RunFolder, plan: str, command: str) -> Content:
    """Read what has been measured of a study.

    Raises
    ------
    UsageError : nothing has been.
    TrainingError : a file is damaged.
    """
    listings = {split: _listing(folder, split) for split in ("val", "test")}
    listings = {split: found for split, found in listings.items() if found}
    if not listings:
        raise UsageError(
            f"Nothing has been measured in {folder.root}.", "Run the study first: kdseg study run."
        )
    models = _models(ResultStore(folder.root), listings)
    *_, (split, last) = listings.items()
    groups, missing = _groups(folder, models, split)
    return Content(
        study=folder.study,
        groups=tuple(groups),
        splits=tuple(listings),
        protocol=decode(Protocol, last["protocol"], "protocol"),
        patients={k: v for found in listings.values() for k, v in found["patients"].items()},
        missing=tuple(missing),
        openings=tuple(ResultStore(folder.root).openings()),
        plan=plan,
        command=command,
    )


def _listing(folder: RunFolder, split: str) -> dict[str, Any]:
    path = folder.report(f"{split}-files.json")
    return read_json(path) if path.is_file() else {}


def _models(store: ResultStore, listings: Mapping[str, Any]) -> dict[str, Run]:
    """Every model that was measured, by its bundle's name."""
    models: dict[str, Run] = {}
    for split, listing in listings.items():
        for entry in listing["arms"]:
            place = store.root / "results" / entry["results"]
            found = store.load(place)
            if found is None:
                continue
            name = entry["arm"]
            before = models.get(name, Run(name, {}, {}))
            cost = store.load_cost(store.root / "results" / entry["cost"]) or before.cost
            results = {**before.results, split: found}
            places = {**before.places, split: place}
            models[name] = Run(name, results, places, cost, temperature=entry["temperature"])
    return models


def _groups(folder: RunFolder, models: dict[str, Run], split: str) -> tuple[list[Group], list[str]]:
    """The study's arms, and what is missing of them on a split."""
    study, missing = folder.study, []

    def run(name: str, *bundles: str, arm: Arm | None = None) -> Run:
        found = next((models[bundle] for bundle in bundles if bundle in models), None)
        facts = folder.facts(arm) if arm is not None and folder.is_trained(arm) else None
        if found is None:
            trained = "is trained but was not measured" if facts else "was not trained"
            missing.append(f"{name} {trained}" if arm else f"{name} was not measured")
            return Run(name, {}, {}, facts=facts, seed=arm.seed if arm else None)
        if split not in found.results:
            missing.append(f"{name} was not measured on the {split} cases")
        return replace(found, name=name, facts=facts, seed=arm.seed if arm else None)

    prefix = study.bundle.name
    groups = []
    for ensemble in study.ensemble_names:
        members = tuple(member.name for member in study.members(ensemble))
        # of one whose members know a structure each only the students are measured
        if len(members) > 1 and study.is_whole(ensemble):
            whole = run(ensemble, f"{prefix}-{ensemble}")
            groups.append(Group(ensemble, "ensemble", (whole,), members))
    for arm in study.students:
        runs = tuple(run(one.name, f"{prefix}-{one.name}", arm=one) for one in arm.runs())
        taught = Objective(arm.schedule.losses).needs_teacher
        distils = study.distilled(arm) if taught else None
        groups.append(
            Group(
                arm.name,
                "student" if taught else "baseline",
                runs,
                distils=_teacher_of(study, distils) if distils else None,
                out_of_fold=bool(distils and distils.out_of_fold),
                network=_network(folder, arm),
                meanwhile=bool(distils and distils.meanwhile),
                label_losses=_label_losses(arm),
                folds=bool(arm.folds),
                share=arm.share,
                course=_course(arm),
            )
        )
    for arm in study.teachers:
        if study.knows(arm):
            # heard by students alone: it is never measured, but it must be trained
            untrained = (one.name for one in arm.runs() if not folder.is_trained(one))
            missing += [f"{name} was not trained" for name in untrained]
            continue
        runs = tuple(
            run(one.name, one.name, *(f"{prefix}-{name}" for name in _alone(study, one)), arm=one)
            for one in arm.runs()
        )
        groups.append(
            Group(
                arm.name,
                "member",
                runs,
                network=_network(folder, arm),
                label_losses=_label_losses(arm),
                folds=bool(arm.folds),
                share=arm.share,
                course=_course(arm),
            )
        )
    return groups, missing


def _alone(study: Study, teacher: Arm) -> list[str]:
    """What a teacher's bundle is called where it is no member of another one."""
    ones = [name for name in study.ensemble_names if study.members(name) == (teacher,)]
    return [*ones, teacher.name]  # by itself where its ensemble is not whole


def _course(arm: Arm) -> str:
    """How an arm is trained, but for the losses, as one text."""
    course = encode(arm.schedule)
    del course["losses"]
    course["share"] = arm.share
    return json.dumps(course, sort_keys=True)


def _label_losses(arm: Arm) -> frozenset[str]:
    return frozenset(LABEL_LOSSES) & frozenset(arm.schedule.losses)


def _teacher_of(study: Study, distils: Distils) -> str:
    """The name of the group that a student learns from, all of it or its runs one by one."""
    if distils.paired:
        members = study.members(distils.ensemble)
        for arm in study.teachers:
            if arm.runs() == members:
                return arm.name
    return distils.ensemble


def _network(folder: RunFolder, arm: Arm) -> str:
    """Architecture, arguments and what it sees of the channels as one text."""
    if any(not folder.is_trained(one) for one in _needed(folder.study, arm)):
        return arm.architecture
    arm = folder.resolved(arm)
    sees = [folder.study.channels[i].name for i in folder.study.sees(arm)]
    of = f" of {', '.join(sees)}" if sees else ""
    return f"{arm.architecture} {json.dumps(arm.arguments, sort_keys=True)}{of}"


def _needed(study: Study, arm: Arm) -> Sequence[Arm]:
    """What must be trained before an arm's architecture is known."""
    if arm.arguments:
        return ()
    return study.members(study.distilled(arm).ensemble)
