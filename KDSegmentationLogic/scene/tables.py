"""Rows of results as table nodes, and back."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import slicer
import vtk

from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.files import write_text

Value = float | int | str


def table_from_rows(rows: Sequence[Mapping[str, Value]], name: str) -> slicer.vtkMRMLTableNode:
    """Add a table node with one row each; columns in the order in which keys first appear.

    A column of whole numbers only is stored as integers, one of numbers as doubles, any
    other as text. A value that a row lacks is NaN, in text empty; it makes a column of whole
    numbers one of doubles.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    node.SetUseColumnTitleAsColumnHeader(False)
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(key) for row in rows]
        column, empty = _column(values)
        column.SetName(key)
        for value in values:
            column.InsertNextValue(empty if value is None else value)
        node.AddColumn(column)
    return node


def rows_from_table(node: slicer.vtkMRMLTableNode) -> list[dict[str, Value]]:
    """The table's rows, typed by its columns."""
    table = node.GetTable()
    columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
    return [
        {column.GetName(): column.GetValue(row) for column in columns}
        for row in range(table.GetNumberOfRows())
    ]


def save_table(node: slicer.vtkMRMLTableNode, path: Path | str) -> None:
    """Write a table as CSV (UTF-8, a row of headings; NaN stays empty).

    Raises
    ------
    SceneError : the file cannot be written.
    """
    rows = rows_from_table(node)
    table = node.GetTable()
    headings = [table.GetColumn(n).GetName() for n in range(table.GetNumberOfColumns())]
    text = io.StringIO()
    writer = csv.DictWriter(text, headings, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if value != value else value for name, value in row.items()})
    try:
        write_text(Path(path), text.getvalue())
    except OSError as error:
        raise SceneError(
            f"{path} cannot be written ({error.strerror}).",
            "Choose a folder that exists and may be written to.",
        ) from error


def _column(values: Sequence[Value | None]) -> tuple[vtk.vtkAbstractArray, Value]:
    """An empty array of the type that holds all values, and what stands for a missing one."""
    kinds = {type(value) for value in values}
    if kinds <= {int}:
        return vtk.vtkLongLongArray(), 0
    if kinds <= {int, float, type(None)}:
        return vtk.vtkDoubleArray(), float("nan")
    return vtk.vtkStringArray(), ""
