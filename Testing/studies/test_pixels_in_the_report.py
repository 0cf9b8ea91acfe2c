"""A study that asks for the pixels' confusion matrix gets its tables, and no other does."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from KDSegmentationLogic.studies.protocol import Protocol
from KDSegmentationLogic.studies.report import build_page
from KDSegmentationLogic.studies.reporting.content import Content, Group, gather
from KDSegmentationLogic.studies.reporting.page import Table, Text
from KDSegmentationLogic.studies.reporting.pixels import pixels
from KDSegmentationLogic.studies.results import Assessed, ResultStore
from Testing.making import tiny_student
from Testing.studies.made_results import made_run

pytest.importorskip("matplotlib", reason="needs matplotlib")

RIGHT = ((90, 0, 0), (0, 10, 0), (0, 0, 0))
HALF = ((90, 0, 0), (5, 5, 0), (0, 0, 0))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    return gather(made_run(tmp_path_factory.mktemp("run")), "the plan", "kdseg study run")


def counted(content: Content) -> Content:
    """All pixels right but for the baseline, which finds half of the one structure there is."""

    def group_of(group: Group) -> Group:
        matrix = HALF if group.role == "baseline" else RIGHT
        runs = []
        for run in group.runs:
            results = {
                split: replace(
                    found, cases=tuple(replace(case, confusion=matrix) for case in found.cases)
                )
                for split, found in run.results.items()
            }
            runs.append(replace(run, results=results))
        return replace(group, runs=tuple(runs))

    return replace(content, groups=tuple(group_of(group) for group in content.groups))


def row(table: Table, arm: str) -> dict[str, str]:
    (found,) = (row for row in table.rows if row[0] == arm)
    return dict(zip([f"{i}{name}" for i, name in enumerate(table.head)], found, strict=True))


def test_a_study_that_does_not_ask_has_no_such_table(content: Content) -> None:
    assert pixels(content) is None


@pytest.mark.parametrize("per_case", [False, True])
def test_the_figures_are_in_percent_with_the_gain_over_the_baseline(
    content: Content, per_case: bool
) -> None:
    table = pixels(counted(content), per_case)

    assert table is not None
    found = list(row(table, "student").values())
    assert found[3] == "100.00 ± 0.00"
    assert found[4] == "+5.00"
    iou = 100 * (90 / 95 + 5 / 10) / 2
    assert found[6] == f"{100 - iou:+.2f}"
    plain = list(row(table, "plain").values())
    assert plain[5] == f"{iou:.2f} ± 0.00"
    assert plain[4] == "–"


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
