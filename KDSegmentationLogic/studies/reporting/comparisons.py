"""The questions that a study is made to answer, and their answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, get_args

import numpy as np

from KDSegmentationLogic.evaluation.statistics import (
    Comparison,
    NonInferiority,
    compare,
    holm,
    noninferior,
    smallest_p,
)
from KDSegmentationLogic.studies.reporting.content import Content, Group, Run, nanmean
from KDSegmentationLogic.studies.results import CaseResult

ALPHA = 0.05

Claim = Literal[
    "ensemble against its members",
    "student against labels alone",
    "student against its teacher",
    "students of different targets",
    "students of the same targets",
    "ensemble against ensemble",
]
"""What a test is a part of. The tests of one claim by one metric are corrected together."""

Parts = Callable[[CaseResult], Mapping[str, float]]


@dataclass(frozen=True)
class Metric:
    """A figure of a case, the mean over its parts. ``digits``: to show. ``higher``: is better.

    parts : the figure of each structure, by its name, nan where it is undefined; of what is no
        figure of structures the case is the one part.
    """

    name: str
    parts: Parts
    digits: int
    higher: bool = True

    def of(self, case: CaseResult) -> float:
        """The mean over the parts where it is defined; nan where nowhere."""
        return nanmean(self.parts(case).values())


@dataclass(frozen=True)
class Answer:
    """``first`` minus ``second``.

    corrected : p by Holm over the answers to the same claim by the same metric.
    least : the smallest that ``corrected`` could have been with so many patients.
    left_out, parts : so many of so many parts of the cases (``Metric``) do not count, since the
        figure is undefined there for either side.
    noninferiority : where the question was whether the first may replace the second.
    """

    claim: Claim
    first: str
    second: str
    comparison: Comparison
    corrected: float
    least: float
    left_out: int
    parts: int
    noninferiority: NonInferiority | None = None

    @property
    def too_few_patients(self) -> bool:
        """No difference is shown, and however large it were, so many could not have shown it."""
        return min(self.corrected, self.least) >= ALPHA


@dataclass(frozen=True)
class _Question:
    """Two names, and the runs of each whose mean is compared."""

    claim: Claim
    first: str
    second: str
    runs: tuple[Sequence[Run], Sequence[Run]]
    replaces: bool = False


def _of_structures(figure: str) -> Parts:
    return lambda case: {s.name: getattr(s, figure) for s in case.structures}


DICE = Metric("Dice", _of_structures("dice"), 4)
ECE = Metric("ECE", lambda case: {"": case.reliability.ece}, 4, higher=False)
HD95 = Metric("HD95", _of_structures("hd95"), 3, higher=False)


def structure_dice(name: str) -> Metric:
    """The Dice of one structure."""
    return Metric(
        f"Dice {name}", lambda case: {s.name: s.dice for s in case.structures if s.name == name}, 4
    )


def answers(content: Content, metric: Metric) -> list[Answer]:
    """All comparisons of a study by one metric, claim by claim:

    - each ensemble against the mean of its members, and against the best of them by validation;
    - each student (mean over its seeds) against the baselines of the same network, of the same
      schedule where there are such, or else against the teachers of that network, of the same
      label losses where there are such;
    - each student against the ensemble (or the single teachers, run by run) that it learnt
      from, with non-inferiority in Dice;
    - students of one schedule that differ in where their targets come from against each other;
    - students of the same targets, which differ in losses, schedule or share of the cases, against
      the first of them in the study file: all against all would be so many tests that none could
      count;
    - ensembles against each other.

    The p-values of each claim are corrected for their number on their own: each claim stands by
    itself, and over all of them 8 patients, whose smallest p is 0.008, could show nothing from
    the seventh test on. The claims are these whatever the results.

    Of each case those structures count for which every run of both sides has the figure: a model
    that misses a hard structure has no distance there, and without it would look the better one.
    """
    found = []
    for question in _questions(content):
        first, second, left_out, parts = _paired(content, question, metric)
        if len(first) < 2:
            continue
        verdict = None
        if question.replaces and metric is DICE:
            verdict = noninferior(first, second, content.protocol.margin)
        comparison = compare(first, second)
        found.append(
            Answer(
                claim=question.claim,
                first=question.first,
                second=question.second,
                comparison=comparison,
                corrected=comparison.p_value,
                least=smallest_p(comparison.units),
                left_out=left_out,
                parts=parts,
                noninferiority=verdict,
            )
        )
    return [answer for claim in get_args(Claim) for answer in _corrected(found, claim)]


def best_member(content: Content, ensemble: Group) -> Run | None:
    """The member of the highest Dice on validation; of the trainings' own where not assessed."""
    runs = [content.run(name) for name in ensemble.members]
    runs = [run for run in runs if content.decisive in run.results]

    def validation(run: Run) -> float:
        if "val" in run.results:
            return nanmean(run.results["val"].values(DICE.of).values())
        return run.facts["validation_dice"] if run.facts else float("-inf")

    return max(runs, key=validation, default=None)


def _questions(content: Content) -> list[_Question]:
    found: list[_Question] = []
    ensembles = content.of_role("ensemble")
    for ensemble in ensembles:
        found += _against_members(content, ensemble)
    students = content.of_role("student")
    for student in students:
        for called, baseline in _baselines(content, student).items():
            found.append(
                _between(content, "student against labels alone", student, baseline, called)
            )
    for student in students:
        known = [e for e in ensembles if e.name == student.distils]
        for teacher in known or [m for m in content.of_role("member") if m.name == student.distils]:
            question = _between(content, "student against its teacher", student, teacher)
            found.append(replace(question, replaces=True))
    found += [_between(content, *pair) for pair in _beside_each_other(students)]
    for pair in combinations(ensembles, 2):
        found.append(_between(content, "ensemble against ensemble", *pair))
    return found


def _corrected(answers: Sequence[Answer], claim: Claim) -> list[Answer]:
    """Those to a claim, corrected for each other."""
    family = [answer for answer in answers if answer.claim == claim]
    p_values = [answer.comparison.p_value for answer in family]
    done = []
    for place, (answer, p) in enumerate(zip(family, holm(p_values), strict=True)):
        at_best = [*p_values]
        at_best[place] = answer.least
        done.append(replace(answer, corrected=p, least=holm(at_best)[place]))
    return done


def _beside_each_other(students: Sequence[Group]) -> list[tuple[Claim, Group, Group]]:
    """Pairs of one network: of other targets and one schedule, or of the same targets."""
    pairs: list[tuple[Claim, Group, Group]] = []
    seen = set()
    for number, first in enumerate(students):
        kind = _targets(first)
        leads = (first.network, kind) not in seen
        seen.add((first.network, kind))
        for second in students[number + 1 :]:
            if first.network != second.network:
                continue
            if _targets(second) != kind:
                if first.course == second.course:
                    pairs.append(("students of different targets", first, second))
            elif leads:
                pairs.append(("students of the same targets", second, first))
    return pairs


def _targets(student: Group) -> tuple[str | None, bool, bool]:
    return student.distils, student.out_of_fold, student.meanwhile


def _against_members(content: Content, ensemble: Group) -> list[_Question]:
    split = content.decisive
    own = ensemble.measured(split)
    members = [content.run(name) for name in ensemble.members]
    best = best_member(content, ensemble)
    if best is None or not all(split in run.results for run in members):
        return []
    claim: Claim = "ensemble against its members"
    return [
        _Question(claim, ensemble.name, "the mean of its members", (own, members)),
        _Question(claim, ensemble.name, f"its best member, {best.name}", (own, [best])),
    ]


def _baselines(content: Content, student: Group) -> dict[str, Group]:
    """The same network from labels alone, by what to call it: baselines, or else teachers.

    Of the teachers those with the student's label losses, where there are any. Those that learnt
    from other cases are left out.
    """
    found = content.baselines_of(student)
    if found:
        return {_called(baseline, student): baseline for baseline in found}
    alike = [group for group in content.of_role("member") if student.is_like(group)]
    same = [group for group in alike if group.label_losses == student.label_losses]
    what = "and label losses" if same else "with other label losses"
    return {f"{g.name}, a teacher of its network {what}": g for g in same or alike}


def _called(baseline: Group, student: Group) -> str:
    return baseline.name + ("" if baseline.course == student.course else ", trained otherwise")


def _between(
    content: Content, claim: Claim, first: Group, second: Group, called: str = ""
) -> _Question:
    """Over the seeds that both have, where they share some. ``called``: the second's other name.

    A seed decides the first weights and the batches: the mean of three trainings against one of
    them would compare seeds, too.
    """
    runs = (first.measured(content.decisive), second.measured(content.decisive))
    shared = {run.seed for run in runs[0]} & {run.seed for run in runs[1]}
    if not shared:
        return _Question(claim, first.name, called or second.name, runs)
    kept = (_of_seeds(runs[0], shared), _of_seeds(runs[1], shared))
    names = [
        name + ("" if len(some) == len(side) else f", {_named_seeds(shared)} alone")
        for name, some, side in zip((first.name, called or second.name), kept, runs, strict=True)
    ]
    return _Question(claim, names[0], names[1], kept)


def _of_seeds(runs: Sequence[Run], seeds: Set[int | None]) -> list[Run]:
    return [run for run in runs if run.seed in seeds]


def _named_seeds(seeds: Set[int | None]) -> str:
    numbers = sorted(seed for seed in seeds if seed is not None)
    return f"seed{'s' if len(numbers) > 1 else ''} {' and '.join(map(str, numbers))}"


def _paired(
    content: Content, question: _Question, metric: Metric
) -> tuple[dict[str, float], dict[str, float], int, int]:
    """Both sides' figure of each patient, and how many parts of how many do not count."""
    sides = [
        [run.results[content.decisive].values(metric.parts) for run in runs]
        for runs in question.runs
    ]
    values: tuple[dict[str, float], dict[str, float]] = ({}, {})
    left_out = parts = 0
    for case, names in sides[0][0].items():
        shared = [
            name
            for name in names
            if not any(math.isnan(run[case][name]) for side in sides for run in side)
        ]
        parts += len(names)
        left_out += len(names) - len(shared)
        if shared:
            for found, side in zip(values, sides, strict=True):
                found[case] = float(np.mean([[run[case][n] for n in shared] for run in side]))
    return content.units(values[0]), content.units(values[1]), left_out, parts
