"""Statistics over cases and the files that hold them."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.evaluation.structures import StructureResult
from KDSegmentationLogic.evaluation.table import (
    markdown,
    statistics,
    summarise,
    write_csv,
    write_json,
)

NAN = math.nan


def result(
    dice: float, hd95: float, volumes: tuple[float, float] = (10.0, 8.0), **more: object
) -> StructureResult:
    given = {"value": 1, "name": "liver", "unit": "mm", "volume_unit": "mL", **more}
    return StructureResult(dice, hd95, hd95 / 4, dice, *volumes, **given)  # type: ignore[arg-type]


def cohort() -> dict[str, list[StructureResult]]:
    """Four cases: measured, missed, invented, and rightly absent."""
    return {
        "a": [result(0.8, 4.0)],
        "b": [result(0.0, NAN, (0.0, 8.0))],
        "c": [result(0.0, NAN, (3.0, 0.0))],
        "d": [result(1.0, NAN, (0.0, 0.0))],
    }


def test_statistics_are_those_of_the_defined_values() -> None:
    found = statistics([1.0, NAN, 2.0, 6.0])
    assert (found.mean, found.median, found.defined, found.undefined) == (3.0, 2.0, 3, 1)
    assert found.sd == pytest.approx(math.sqrt(7.0))
    assert found.p5 == pytest.approx(1.1)
    assert found.p95 == pytest.approx(5.6)


def test_one_value_has_no_standard_deviation() -> None:
    found = statistics([2.0])
    assert (found.mean, found.p5, found.p95) == (2.0, 2.0, 2.0)
    assert math.isnan(found.sd)


def test_no_defined_value_gives_no_mean() -> None:
    found = statistics([NAN, NAN])
    assert math.isnan(found.mean)
    assert (found.defined, found.undefined) == (0, 2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_percentiles_are_in_order_and_within_the_values(values: list[float]) -> None:
    found = statistics(values)
    assert min(values) <= found.p5 <= found.median <= found.p95 <= max(values)


def test_empty_masks_are_counted_by_kind() -> None:
    (summary,) = summarise(cohort())
    assert (summary.cases, summary.missed, summary.spurious, summary.absent) == (4, 1, 1, 1)


def test_a_missed_structure_lowers_dice_and_is_left_out_of_distances() -> None:
    (summary,) = summarise(cohort())
    assert summary.metrics["dice"].mean == pytest.approx(0.45)
    assert summary.metrics["hd95"].mean == 4.0
    assert summary.metrics["hd95"].undefined == 3


def test_volume_differences_keep_their_sign() -> None:
    (summary,) = summarise({"a": [result(0.9, 1.0)], "b": [result(0.9, 1.0, (4.0, 8.0))]})
    assert summary.metrics["volume_difference"].mean == pytest.approx(-1.0)
    assert summary.metrics["relative_volume_difference"].mean == pytest.approx(-0.125)


def test_structures_are_in_the_order_of_their_values() -> None:
    cases = {"a": [result(1.0, 0.0, value=9, name="a"), result(1.0, 0.0, value=2, name="b")]}
    assert [summary.value for summary in summarise(cases)] == [2, 9]


def test_a_structure_of_one_case_only_counts_one_case() -> None:
    cases = {"a": [result(1.0, 0.0)], "b": [result(1.0, 0.0), result(0.0, NAN, value=7, name="7")]}
    assert [summary.cases for summary in summarise(cases)] == [2, 1]


def test_millimetres_and_pixels_are_not_averaged() -> None:
    cases = {"a": [result(1.0, 0.0)], "b": [result(1.0, 0.0, unit="px", volume_unit="px")]}
    with pytest.raises(ImageError, match="in a but in px and px in b"):
        summarise(cases)


def test_surface_dice_of_two_tolerances_is_not_averaged() -> None:
    cases = {"a": [result(1.0, 0.0)], "b": [result(1.0, 0.0, tolerance=2.0)]}
    with pytest.raises(ImageError, match="tolerance of 1 in a and of 2 in b"):
        summarise(cases)


def test_the_markdown_states_the_tolerance_of_the_surface_dice() -> None:
    text = markdown(summarise({"a": [result(0.9, 1.0, tolerance=2.5)]}))
    assert "Surface Dice at 2.5 mm" in text


def test_the_csv_has_a_row_for_each_case_and_structure(tmp_path: Path) -> None:
    write_csv(tmp_path / "new" / "cases.csv", cohort())
    with open(tmp_path / "new" / "cases.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["a", "b", "c", "d"]
    assert (rows[0]["structure"], rows[0]["unit"], float(rows[0]["hd95"])) == ("liver", "mm", 4.0)
    assert (rows[1]["hd95"], rows[1]["presence"], float(rows[1]["dice"])) == ("", "missed", 0.0)
    assert float(rows[0]["volume_difference"]) == 2.0


def test_names_with_commas_and_umlauts_survive_the_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "cases.csv", {"fall, ä": [result(1.0, 0.0, name='Leber, "rechts"')]})
    with open(tmp_path / "cases.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["case"], row["structure"]) == ("fall, ä", 'Leber, "rechts"')


def test_the_csv_keeps_every_digit(tmp_path: Path) -> None:
    write_csv(tmp_path / "cases.csv", {"a": [result(1 / 3, 0.1 + 0.2)]})
    with open(tmp_path / "cases.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (float(row["dice"]), float(row["hd95"])) == (1 / 3, 0.1 + 0.2)


def test_the_json_is_strict_and_holds_cases_and_summaries(tmp_path: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    write_json(tmp_path / "results.json", cohort())
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=refuse)
    assert content["cases"][1]["hd95"] is None
    (structure,) = content["structures"]
    assert structure["metrics"]["dice"]["mean"] == pytest.approx(0.45)
    assert structure["metrics"]["hd95"]["sd"] is None
    assert structure["absent"] == 1


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    write_json(target, cohort())
    before = target.read_bytes()
    with pytest.raises(ImageError):
        write_json(target, {"a": [result(1.0, 0.0)], "b": [result(1.0, 0.0, unit="px")]})
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_the_markdown_states_how_many_cases_a_distance_is_over() -> None:
    lines = markdown(summarise(cohort())).splitlines()
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:2] == ["liver", "4"]
    assert "4.00 (n = 1)" in cells
    assert cells[-3:] == ["1", "1", "1"]
    assert "HD95 (mm)" in lines[0]
    assert len({line.count("|") for line in lines}) == 1


def test_the_markdown_of_a_structure_without_distances_has_dashes() -> None:
    line = markdown(summarise({"a": [result(0.0, NAN, (0.0, 8.0))]})).splitlines()[2]
    assert "nan" not in line
    assert "| – |" in line


def test_a_bar_in_a_name_does_not_break_the_markdown() -> None:
    assert r"left\|right" in markdown(summarise({"a": [result(1.0, 0.0, name="left|right")]}))


def test_numbers_from_numpy_are_written(tmp_path: Path) -> None:
    write_json(tmp_path / "results.json", {"a": [result(np.float64(0.5), np.float64(2.0))]})
    assert json.loads((tmp_path / "results.json").read_text())["cases"][0]["dice"] == 0.5
