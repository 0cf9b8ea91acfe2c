"""Rows of results become typed columns of a table node."""

from __future__ import annotations

import math

import slicer

from KDSegmentationLogic.scene import tables


def test_rows_come_back_with_their_types() -> None:
    rows = [
        {"structure": "Anterior", "voxels": 812, "dice": 0.91},
        {"structure": "Posterior", "voxels": 2**40, "dice": 1.0},
    ]

    node = tables.table_from_rows(rows, "results")

    assert tables.rows_from_table(node) == rows
    assert node.GetName() == "results"


def test_columns_stand_in_the_order_of_their_first_appearance() -> None:
    node = tables.table_from_rows([{"a": 1}, {"a": 2, "b": "x"}], "results")

    assert [node.GetColumnName(index) for index in range(2)] == ["a", "b"]


def test_whole_and_broken_numbers_make_a_column_of_doubles() -> None:
    node = tables.table_from_rows([{"mm": 1}, {"mm": 2.5}], "results")

    assert tables.rows_from_table(node) == [{"mm": 1.0}, {"mm": 2.5}]
    assert slicer.util.arrayFromTableColumn(node, "mm").dtype == float


def test_a_missing_number_is_nan_and_a_missing_text_empty() -> None:
    node = tables.table_from_rows([{"n": 1, "note": "ok"}, {}], "results")

    last = tables.rows_from_table(node)[1]

    assert math.isnan(last["n"])
    assert last["note"] == ""


def test_no_rows_make_an_empty_table() -> None:
    assert tables.rows_from_table(tables.table_from_rows([], "none")) == []
