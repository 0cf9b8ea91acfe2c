"""A study that asks for the pixels' confusion matrix gets its tables, and no other does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from KDSegmentationLogic.studies.protocol import Protocol
from KDSegmentationLogic.studies.report import build_page
from KDSegmentationLogic.studies.reporting.content import Content, Group, gather
from KDSegmentationLogic.studies.reporting.page import Table, Text
from KDSegmentationLogic.studies.reporting.pixels import pixels
from KDSegmentationLogic.studies.reporting.tables import DASH
from KDSegmentationLogic.studies.results import Assessed, ResultStore
from Testing.making import tiny_student
from Testing.studies.made_results import CASES, made_run

pytest.importorskip("matplotlib", reason="needs matplotlib")

Counts = tuple[tuple[int, ...], ...]

RIGHT = ((90, 0, 0), (0, 10, 0), (0, 0, 0))
HALF = ((90, 0, 0), (5, 5, 0), (0, 0, 0))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    return gather(made_run(tmp_path_factory.mktemp("run")), "the plan", "kdseg study run")


def of_their_own(case: str, group: Group) -> Counts:
    """Each patient's two cases alike; in all of them the student has 5 of 100 pixels more."""
    right = 20 + 2 * (CASES.index(case) // 2) + (5 if group.role == "student" else 0)
    return ((50, 0, 0), (50 - right, right, 0), (0, 0, 0))


def alike(_case: str, group: Group) -> Counts:
    """All pixels right but for the baseline, which finds half of the one structure there is."""
    return HALF if group.role == "baseline" else RIGHT


def counted(content: Content, counts: Callable[[str, Group], Counts] = alike) -> Content:
    def group_of(group: Group) -> Group:
        runs = []
        for run in group.runs:
            results = {
                split: replace(
                    found,
                    cases=tuple(replace(c, confusion=counts(c.case, group)) for c in found.cases),
                )
                for split, found in run.results.items()
            }
            runs.append(replace(run, results=results))
        return replace(group, runs=tuple(runs))

    return replace(content, groups=tuple(group_of(group) for group in content.groups))


def interval(cell: str) -> tuple[float, float]:
    low, high = cell.partition("(")[2].rstrip(")").split(" to ")
    return float(low), float(high)


def row(table: Table, arm: str) -> dict[str, str]:
    (found,) = (row for row in table.rows if row[0] == arm)
    return dict(zip([f"{i}{name}" for i, name in enumerate(table.head)], found, strict=True))


def test_a_baseline_of_another_schedule_gives_no_gain(content: Content) -> None:
    made = counted(content)
    longer = [replace(g, course="longer") if g.name == "plain" else g for g in made.groups]

    table = pixels(replace(made, groups=tuple(longer)))

    assert table is not None
    found = list(row(table, "student").values())
    assert found[3].startswith("100.00")
    assert found[4] == DASH


def test_a_study_that_does_not_ask_has_no_such_table(content: Content) -> None:
    assert pixels(content) is None


@pytest.mark.parametrize("per_case", [False, True])
def test_the_figures_are_in_percent_with_the_gain_over_the_baseline(
    content: Content, per_case: bool
) -> None:
    table = pixels(counted(content), per_case)

    assert table is not None
    found = list(row(table, "student").values())
    # of cases that are all alike the interval is the figure itself
    assert found[3] == "100.00 ± 0.00 (100.00 to 100.00)"
    assert found[4] == "+5.00 (+5.00 to +5.00)"
    iou = 100 * (90 / 95 + 5 / 10) / 2
    assert found[6].startswith(f"{100 - iou:+.2f} (")
    plain = list(row(table, "plain").values())
    assert plain[5] == f"{iou:.2f} ± 0.00 ({iou:.2f} to {iou:.2f})"
    assert plain[4] == "–"


@pytest.mark.parametrize("per_case", [False, True])
def test_a_gain_is_that_of_the_same_patients_on_both_sides(
    content: Content, per_case: bool
) -> None:
    table = pixels(counted(content, of_their_own), per_case)

    assert table is not None
    found = list(row(table, "student").values())
    low, high = interval(found[3])
    assert low < 82 - 1 < 82 + 1 < high
    assert found[4] == "+5.00 (+5.00 to +5.00)"


def test_the_interval_is_over_patients_and_not_over_their_cases(content: Content) -> None:
    def width(content: Content) -> float:
        table = pixels(counted(content, of_their_own))
        assert table is not None
        low, high = interval(list(row(table, "plain").values())[3])
        return high - low

    # two cases of a patient that are alike tell no more than one
    assert width(content) == pytest.approx(2**0.5 * width(replace(content, patients={})), rel=0.1)


def test_a_figure_that_is_undefined_has_no_interval(content: Content) -> None:
    nothing_there = ((100, 0, 0), (0, 0, 0), (0, 0, 0))

    table = pixels(counted(content, lambda *_: nothing_there), per_case=True)

    assert table is not None
    *_, kappa, gain = row(table, "student").values()
    assert (kappa, gain) == ("–", "–")


def test_the_page_shows_both_tables(content: Content) -> None:
    page = build_page(counted(content), defaultdict(list), Text("no pictures"))

    titles = [b.title for b in page.sections[0].blocks if isinstance(b, Table)]
    assert titles[-2:] == ["Pixels, test cases, all pixels", "Pixels, test cases, case by case"]


def test_counts_come_back_from_the_file_as_they_were(tmp_path: Path, content: Content) -> None:
    cases = content.run("ensemble").results["test"].cases[:1]
    matrix = tuple(tuple(r) for r in np.arange(9).reshape(3, 3).tolist())
    found = Assessed("a", "test", "torch", tuple(replace(c, confusion=matrix) for c in cases))
    store = ResultStore(tmp_path)

    store.save(tmp_path / "results" / "one", found)

    again = store.load(tmp_path / "results" / "one")
    assert again is not None
    assert again.cases[0].confusion == matrix


def test_a_protocol_that_asks_for_pixels_measures_anew(tmp_path: Path) -> None:
    bundle = tiny_student(tmp_path / "bundle")
    store = ResultStore(tmp_path)

    def place(how: Protocol) -> Path:
        return store.folder(bundle, "test", ["case"], how)

    assert place(Protocol(pixels=True)) != place(Protocol())
    assert place(Protocol(pixels=False)) == place(Protocol())
