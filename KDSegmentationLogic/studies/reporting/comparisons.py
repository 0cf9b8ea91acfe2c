"""The questions that a study is made to answer, and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from KDSegmentationLogic.evaluation.statistics import (
    Comparison,
    NonInferiority,
    compare,
    holm,
    noninferior,
)
from KDSegmentationLogic.studies.reporting.content import Content, Group, Measure, Run, nanmean


@dataclass(frozen=True)
class Metric:
    """A figure of a case. ``digits``: to show. ``higher``: is better."""

    name: str
    of: Measure
    digits: int
    higher: bool = True


@dataclass(frozen=True)
class Answer:
    """``first`` minus ``second``. corrected : p by Holm over the answers of one metric.

    noninferiority : where the question was whether the first may replace the second.
    """

    first: str
    second: str
    comparison: Comparison
    corrected: float
    noninferiority: NonInferiority | None = None

    @property
    def significant(self) -> bool:
        return self.corrected < 0.05


@dataclass(frozen=True)
class _Question:
    first: str
    second: str
    values: tuple[Mapping[str, float], Mapping[str, float]]
    replaces: bool = False


DICE = Metric("Dice", lambda case: case.dice, 4)
ECE = Metric("ECE", lambda case: case.reliability.ece, 4, higher=False)
HD95 = Metric("HD95", lambda case: case.mean("hd95"), 3, higher=False)


def structure_dice(name: str) -> Metric:
    """The Dice of one structure."""

    def of(case: object) -> float:
        return next(s.dice for s in case.structures if s.name == name)  # type: ignore[attr-defined]

    return Metric(f"Dice {name}", of, 4)


def answers(content: Content, metric: Metric) -> list[Answer]:
    """All comparisons of a study by one metric, p-values corrected for their number.

    - each ensemble against the mean of its members, and against the best of them by validation;
    - each student (mean over its seeds) against the baseline of the same network, or else
      against a teacher of that network;
    - each student against the ensemble (or the single teachers, run by run) that it learnt
      from, with non-inferiority in Dice;
    - students that differ in where their targets come from, and ensembles, against each other;
    - students that differ in their losses alone against the first of them in the study file: all
      against all would be so many comparisons that none could count.
    """
    questions = [q for q in _questions(content, metric) if set(q.values[0]) == set(q.values[1])]
    found = []
    for question in questions:
        first, second = (_defined(content, question.values, side) for side in (0, 1))
        if len(first) < 2:
            continue
        verdict = None
        if question.replaces and metric is DICE:
            verdict = noninferior(first, second, content.protocol.margin)
        comparison = compare(first, second)
        found.append(
            Answer(question.first, question.second, comparison, comparison.p_value, verdict)
        )
    corrected = holm([answer.comparison.p_value for answer in found])
    return [replace(a, corrected=p) for a, p in zip(found, corrected, strict=True)]


def best_member(content: Content, ensemble: Group) -> Run | None:
    """The member of the highest Dice on validation; of the trainings' own where not assessed."""
    runs = [content.run(name) for name in ensemble.members]
    runs = [run for run in runs if content.decisive in run.results]

    def validation(run: Run) -> float:
        if "val" in run.results:
            return nanmean(run.results["val"].values(DICE.of).values())
        return run.facts["validation_dice"] if run.facts else float("-inf")

    return max(runs, key=validation, default=None)


def _questions(content: Content, metric: Metric) -> list[_Question]:
    found: list[_Question] = []
    split = content.decisive
    ensembles = content.of_role("ensemble")
    for ensemble in ensembles:
        found += _against_members(content, ensemble, metric)
    students = content.of_role("student")
    for student in students:
        for baseline in _baselines(content, student):
            found.append(_between(content, student, baseline, metric))
    for student in students:
        known = [e for e in ensembles if e.name == student.distils]
        for teacher in known or [m for m in content.of_role("member") if m.name == student.distils]:
            question = _between(content, student, teacher, metric)
            found.append(replace(question, replaces=True))
    found += [_between(content, a, b, metric) for a, b in _beside_each_other(students)]
    for number, first in enumerate(ensembles):
        for second in ensembles[number + 1 :]:
            if second.has(split):
                found.append(_between(content, first, second, metric))
    return found


def _beside_each_other(students: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Pairs of one network, of which either differs in its targets, or the second in its losses."""
    pairs, seen = [], set()
    for number, first in enumerate(students):
        kind = _targets(first)
        leads = (first.network, kind) not in seen
        seen.add((first.network, kind))
        for second in students[number + 1 :]:
            if first.network != second.network:
                continue
            if _targets(second) != kind:
                pairs.append((first, second))
            elif leads:
                pairs.append((second, first))
    return pairs


def _targets(student: Group) -> tuple[str | None, bool, bool]:
    return student.distils, student.out_of_fold, student.meanwhile


def _against_members(content: Content, ensemble: Group, metric: Metric) -> list[_Question]:
    split = content.decisive
    runs = [content.run(name) for name in ensemble.members]
    if not all(split in run.results for run in runs):
        return []
    own = ensemble.values(split, metric.of)
    each = [run.results[split].values(metric.of) for run in runs]
    mean = {case: float(np.mean([one[case] for one in each])) for case in own}
    found = [_Question(ensemble.name, "the mean of its members", (own, mean))]
    best = best_member(content, ensemble)
    if best is not None:
        values = best.results[split].values(metric.of)
        found.append(_Question(ensemble.name, f"its best member, {best.name}", (own, values)))
    return found


def _baselines(content: Content, student: Group) -> list[Group]:
    """The same network from labels alone: a baseline, or else a teacher (of its own schedule)."""
    found = [b for b in content.of_role("baseline") if b.network == student.network]
    return found or [m for m in content.of_role("member") if m.network == student.network]


def _between(content: Content, first: Group, second: Group, metric: Metric) -> _Question:
    split = content.decisive
    values = (first.values(split, metric.of), second.values(split, metric.of))
    return _Question(first.name, second.name, values)


def _defined(
    content: Content, values: tuple[Mapping[str, float], Mapping[str, float]], side: int
) -> dict[str, float]:
    """By patient, without the cases in which either is undefined."""
    both = [c for c in values[0] if not (np.isnan(values[0][c]) or np.isnan(values[1][c]))]
    return content.units({case: values[side][case] for case in both})
