"""What a report compares, over which structures and patients, and with which correction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from KDSegmentationLogic.evaluation.statistics import Interval, compare
from KDSegmentationLogic.evaluation.structures import StructureResult
from KDSegmentationLogic.studies.reporting import tables
from KDSegmentationLogic.studies.reporting.comparisons import DICE, ECE, HD95, Answer, answers
from KDSegmentationLogic.studies.reporting.content import Content, Run, gather
from KDSegmentationLogic.studies.results import CaseResult
from Testing.studies.made_results import CASES, STRUCTURES, made_run, study

Change = Callable[[StructureResult, str], StructureResult]
"""Of a structure in the case of that name."""


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    return gather(made_run(tmp_path_factory.mktemp("run")), "the plan", "kdseg study run")


@pytest.fixture(scope="module")
def found(content: Content) -> dict[tuple[str, str], Answer]:
    return {(answer.first, answer.second): answer for answer in answers(content, DICE)}


def test_the_comparisons_are_those_that_the_study_is_for(
    found: dict[tuple[str, str], Answer],
) -> None:
    assert set(found) == {
        ("ensemble", "the mean of its members"),
        ("ensemble", "its best member, volume"),
        ("student", "plain"),
        ("student", "ensemble"),
    }


def of_the_students_network(content: Content, **teachers: dict[str, Any]) -> Content:
    """Without a baseline; these teachers have the student's network, and what is given here."""
    student = next(group for group in content.groups if group.name == "student")
    groups = [
        replace(group, network=student.network, **teachers[group.name])
        if group.name in teachers
        else group
        for group in content.groups
        if group.role != "baseline"
    ]
    return replace(content, groups=tuple(groups))


def baselines(content: Content) -> set[str]:
    claim = "student against labels alone"
    return {answer.second for answer in answers(content, DICE) if answer.claim == claim}


def test_a_student_without_a_baseline_is_held_against_a_teacher_of_its_network_and_losses(
    content: Content,
) -> None:
    alike = of_the_students_network(
        content,
        volume={"label_losses": frozenset({"cross_entropy"})},
        slices={"label_losses": frozenset({"dice"})},
    )
    assert baselines(alike) == {"slices, a teacher of its network and label losses"}


def test_teachers_of_other_losses_take_that_place_where_none_has_the_students(
    content: Content,
) -> None:
    others = of_the_students_network(content, volume={"label_losses": frozenset({"x"})})
    assert baselines(others) == {"volume, a teacher of its network with other label losses"}


def test_a_student_is_held_against_the_baseline_of_its_own_schedule(content: Content) -> None:
    student, plain = (
        next(group for group in content.groups if group.name == name)
        for name in ("student", "plain")
    )
    long = [replace(student, name="student-long"), replace(plain, name="plain-long")]
    long = [replace(group, course="longer") for group in long]
    pairs = {
        (answer.first, answer.second)
        for answer in answers(replace(content, groups=(*content.groups, *long)), DICE)
        if answer.claim == "student against labels alone"
    }
    assert pairs == {("student", "plain"), ("student-long", "plain-long")}


def test_a_baseline_of_another_schedule_is_called_so(content: Content) -> None:
    groups = [replace(g, course="longer") if g.name == "plain" else g for g in content.groups]
    assert baselines(replace(content, groups=tuple(groups))) == {"plain, trained otherwise"}


def test_a_student_of_few_cases_is_held_against_a_baseline_of_as_few(content: Content) -> None:
    few = [
        replace(group, name=f"{group.name}-few", share=0.25, course="few")
        for group in content.groups
        if group.name in ("student", "plain")
    ]
    pairs = {
        (answer.first, answer.second)
        for answer in answers(replace(content, groups=(*content.groups, *few)), DICE)
        if answer.claim == "student against labels alone"
    }
    assert pairs == {("student", "plain"), ("student-few", "plain-few")}


def test_one_that_saw_fewer_cases_is_nobodys_baseline_trained_otherwise(content: Content) -> None:
    groups = [
        replace(g, share=0.25, course="few") if g.name == "plain" else g for g in content.groups
    ]
    assert not any("plain" in name for name in baselines(replace(content, groups=tuple(groups))))


def test_targets_are_compared_under_one_schedule(content: Content) -> None:
    student = next(group for group in content.groups if group.name == "student")
    longer = replace(student, name="longer", course="longer")
    elsewhere = replace(student, name="out-of-fold", out_of_fold=True)
    groups = (*content.groups, longer, elsewhere)
    names = {"student", "longer", "out-of-fold"}
    pairs = {(a.first, a.second) for a in answers(replace(content, groups=groups), DICE)}
    assert {pair for pair in pairs if set(pair) <= names} == {
        ("longer", "student"),
        ("student", "out-of-fold"),
    }


def test_networks_of_folds_are_nobodys_baseline(content: Content) -> None:
    folds = of_the_students_network(content, slices={"folds": True}, volume={})
    assert baselines(folds) == {"volume, a teacher of its network with other label losses"}


def test_arms_of_a_study_are_known_by_their_folds_and_label_losses(tmp_path: Path) -> None:
    slices, volume = study().teachers
    folder = made_run(tmp_path, of=replace(study(), teachers=(replace(slices, folds=2), volume)))
    groups = {group.name: group for group in gather(folder, "", "").groups}
    assert (groups["slices"].folds, groups["volume"].folds) == (True, False)
    assert groups["volume"].label_losses == {"cross_entropy"}
    assert groups["student"].label_losses == groups["plain"].label_losses == {"dice"}


def test_arms_of_other_steps_or_cases_are_of_another_course_and_those_of_other_losses_are_not(
    tmp_path: Path,
) -> None:
    student, plain = study().students
    longer = replace(plain, name="longer", schedule=replace(plain.schedule, steps=7))
    fewer = replace(plain, name="fewer", share=0.5)
    folder = made_run(tmp_path, of=replace(study(), students=(student, plain, longer, fewer)))
    course = {group.name: group.course for group in gather(folder, "", "").groups}
    assert student.schedule.losses != plain.schedule.losses
    assert course["student"] == course["plain"]
    assert len({course[name] for name in ("plain", "longer", "fewer")}) == 3


def test_students_of_other_losses_are_held_against_the_first_of_them(content: Content) -> None:
    student = next(group for group in content.groups if group.name == "student")
    others = [replace(student, name=name) for name in ("second", "third")]
    elsewhere = replace(student, name="out-of-fold", out_of_fold=True)
    groups = (*content.groups, *others, elsewhere)
    names = {"student", "second", "third", "out-of-fold"}
    pairs = {(a.first, a.second) for a in answers(replace(content, groups=groups), DICE)}
    assert {pair for pair in pairs if set(pair) <= names} == {
        ("second", "student"),
        ("third", "student"),
        *((name, "out-of-fold") for name in ("student", "second", "third")),
    }


def test_patients_are_the_units(found: dict[tuple[str, str], Answer]) -> None:
    assert {answer.comparison.units for answer in found.values()} == {len(CASES) // 2}


def test_a_students_seeds_are_averaged_before_it_is_compared(
    content: Content, found: dict[tuple[str, str], Answer]
) -> None:
    of = {name: content.run(name).results["test"] for name in ("student-s1", "student-s2")}
    seeds = [np.mean([case.dice for case in result.cases]) for result in of.values()]
    whole = np.mean([case.dice for case in content.run("ensemble").results["test"].cases])
    difference = found["student", "ensemble"].comparison.difference
    assert difference == pytest.approx(np.mean(seeds) - whole)


def test_p_values_are_corrected_for_the_tests_of_one_claim(
    found: dict[tuple[str, str], Answer],
) -> None:
    members = [answer for pair, answer in found.items() if pair[0] == "ensemble"]
    assert {answer.claim for answer in members} == {"ensemble against its members"}
    smallest = min(answer.comparison.p_value for answer in members)
    assert min(answer.corrected for answer in members) == pytest.approx(2 * smallest)
    alone = found["student", "plain"]
    assert alone.corrected == alone.comparison.p_value


def copies(content: Content, number: int) -> Content:
    """With so many more students, which differ in nothing."""
    student = next(group for group in content.groups if group.name == "student")
    others = [replace(student, name=f"student{index}") for index in range(number)]
    return replace(content, groups=(*content.groups, *others))


def test_many_students_do_not_keep_8_patients_from_showing_what_the_ensemble_gained(
    content: Content,
) -> None:
    few, many = answers(content, DICE), answers(copies(content, 9), DICE)

    assert [a for a in many if a.first == "ensemble"] == [a for a in few if a.first == "ensemble"]
    assert len(many) > 4 * len(few)


def test_where_so_many_patients_could_not_have_shown_a_difference_the_table_says_so(
    content: Content,
) -> None:
    table = tables.comparisons(answers(copies(content, 6), DICE), DICE)  # 7 x 2/2^8 > 0.05

    verdicts = {(row[0], row[1]): row[-1] for row in table.rows}
    assert verdicts["student", "plain"] == "too few patients"
    assert verdicts["ensemble", "its best member, volume"] == "first is better"
    assert "this number could not have shown a difference" in table.note


def test_enough_patients_are_not_called_too_few(content: Content) -> None:
    table = tables.comparisons(answers(copies(content, 5), DICE), DICE)  # 6 x 2/2^8 < 0.05

    assert "too few patients" not in {row[-1] for row in table.rows}
    assert "could not have shown" not in table.note
    assert "by Holm among the tests of one claim" in table.note


def test_only_a_student_may_replace_its_ensemble_and_only_in_dice(
    content: Content, found: dict[tuple[str, str], Answer]
) -> None:
    judged = [pair for pair, answer in found.items() if answer.noninferiority]
    assert judged == [("student", "ensemble")]
    verdict = found["student", "ensemble"].noninferiority
    assert verdict is not None
    assert verdict.holds
    assert not any(answer.noninferiority for answer in answers(content, ECE))


def test_a_lower_error_is_the_better_one(content: Content) -> None:
    answer = next(a for a in answers(content, ECE) if a.second == "plain")
    better = replace(answer, corrected=0.01)
    lower = replace(better.comparison, difference=-0.1, interval=Interval(-0.2, -0.05))
    assert tables.verdict(replace(better, comparison=lower), ECE) == "first is better"
    assert tables.verdict(replace(better, comparison=lower), DICE) == "first is worse"
    assert tables.verdict(replace(better, corrected=0.05), DICE) == "no difference shown"


def test_arms_of_other_numbers_of_seeds_are_compared_on_those_that_both_have(
    content: Content,
) -> None:
    groups = [
        replace(group, runs=group.runs[:1]) if group.name == "plain" else group
        for group in content.groups
    ]
    (seed,) = (run.seed for group in groups if group.name == "plain" for run in group.runs)
    fewer = replace(content, groups=tuple(groups))

    answer = next(a for a in answers(fewer, DICE) if a.second == "plain")
    student = next(run for g in content.groups for run in g.runs if run.name == "student-s1")
    plain = next(run for g in content.groups for run in g.runs if run.name == "plain-s1")

    means = [
        np.mean(list(content.units(run.results["test"].values(DICE.of)).values()))
        for run in (student, plain)
    ]
    assert answer.first == f"student, seed {seed} alone"
    assert answer.comparison.difference == pytest.approx(means[0] - means[1])


def test_one_patient_who_turns_the_mean_makes_neither_side_the_better(content: Content) -> None:
    answer = next(a for a in answers(content, DICE) if a.second == "plain")
    first = {f"case{n}": 0.8 - 0.001 * n for n in range(15)} | {"turned": 0.0}
    second = {f"case{n}": 0.7 for n in range(15)} | {"turned": 1.0}
    found = compare(first, second)
    turned = replace(answer, comparison=found, corrected=found.p_value)

    assert found.p_value < 0.05
    assert found.interval.low < 0 < found.interval.high
    assert tables.verdict(turned, DICE) == "ranks and mean disagree"


def changed(
    content: Content,
    models: Sequence[str],
    change: Callable[[StructureResult, str], StructureResult],
) -> Content:
    """With other structures on the test cases of some models; ``change`` knows the case."""

    def case_of(case: CaseResult) -> CaseResult:
        return replace(case, structures=tuple(change(s, case.case) for s in case.structures))

    def run_of(run: Run) -> Run:
        if run.name not in models:
            return run
        found = run.results["test"]
        results = {**run.results, "test": replace(found, cases=tuple(map(case_of, found.cases)))}
        return replace(run, results=results)

    groups = [replace(group, runs=tuple(map(run_of, group.runs))) for group in content.groups]
    return replace(content, groups=tuple(groups))


def far(structure: StructureResult, _case: str) -> StructureResult:
    """The second structure is hard."""
    return replace(structure, hd95=20.0 if structure.name == STRUCTURES[1] else 1.0)


def missing(*cases: str) -> Change:
    """The hard structure is missed in these."""

    def change(structure: StructureResult, case: str) -> StructureResult:
        lost = case in cases and structure.name == STRUCTURES[1]
        return replace(structure, hd95=float("nan")) if lost else structure

    return change


ALL = ("ensemble", "student-s1", "student-s2", "plain-s1", "plain-s2", "slices", "volume")


def by_distance(content: Content, first: str, second: str) -> Answer:
    found = answers(content, HD95)
    return next(a for a in found if (a.first, a.second) == (first, second))


def test_a_student_gains_nothing_in_distance_by_missing_a_hard_structure(content: Content) -> None:
    alike = changed(content, ALL, far)
    found = by_distance(changed(alike, ["student-s1"], missing(*CASES[:4])), "student", "ensemble")

    assert found.comparison.difference == 0
    assert (found.left_out, found.parts) == (4, 2 * len(CASES))


def test_a_structure_that_the_other_side_missed_does_not_count_either(content: Content) -> None:
    alike = changed(content, ALL, far)
    found = by_distance(changed(alike, ["plain-s2"], missing(*CASES[:4])), "student", "plain")

    assert found.comparison.difference == 0
    assert found.left_out == 4


def test_an_ensemble_is_held_against_its_members_where_each_has_the_structure(
    content: Content,
) -> None:
    alike = changed(content, ALL, far)
    lost = changed(alike, ["slices"], missing(CASES[0]))
    found = by_distance(lost, "ensemble", "the mean of its members")

    assert found.comparison.difference == 0
    assert found.left_out == 1


def test_a_case_without_a_shared_structure_is_left_out_whole(content: Content) -> None:
    def nowhere(structure: StructureResult, case: str) -> StructureResult:
        return replace(structure, hd95=float("nan")) if case in CASES[:2] else structure

    found = by_distance(changed(content, ["student-s1"], nowhere), "student", "ensemble")

    assert found.comparison.units == len(CASES) // 2 - 1
    assert found.left_out == 2 * len(STRUCTURES)


def test_the_table_of_comparisons_tells_how_many_structures_were_left_out(
    content: Content,
) -> None:
    lost = changed(content, ["student-s1"], missing(*CASES[:3]))
    table = tables.comparisons(answers(lost, HD95), HD95)

    place = list(table.head).index("left out")
    cells = {(row[0], row[1]): row[place] for row in table.rows}
    assert cells["student", "ensemble"] == "3 of 32"
    assert cells["ensemble", "the mean of its members"] == "0 of 32"


def test_a_mean_distance_tells_how_many_structures_have_none(content: Content) -> None:
    table = tables.accuracy(changed(content, ["student-s1"], missing(*CASES[:3])), "test")

    place = list(table.head).index("without distance")
    cells = {row[0]: row[place] for row in table.rows}
    assert cells["student"] == "3 of 64"
    assert cells["ensemble"] == "0 of 32"
