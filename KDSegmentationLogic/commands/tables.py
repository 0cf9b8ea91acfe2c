"""A comparison's numbers as rows, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from KDSegmentationLogic.commands.comparison import Comparison, Side
from KDSegmentationLogic.evaluation.structures import StructureResult
from KDSegmentationLogic.files import write_text

AGREEMENT, MODELS, REPORT = "table.csv", "models.csv", "table.md"

Row = dict[str, str | float]

NOTE = """\
Seconds: from the image in memory to the label map, both with the uncertainty map. Loading:
the model from its files, and torch itself. Peak memory: the highest resident memory of a
process that did nothing else, with Python and its libraries. Volume difference: the first
named minus the second.
"""


def agreement_rows(comparisons: Iterable[Comparison]) -> list[Row]:
    """A row for each case, structure and pair: both models, then each against the reference."""
    rows = []
    for comparison in comparisons:
        first, second = (side.bundle.name for side in comparison.sides)
        for result in comparison.agreement.structures:
            rows.append(_row(comparison, first, second, result))
        for side in comparison.sides:
            for result in side.accuracy:
                rows.append(_row(comparison, side.bundle.name, "reference", result))
    return rows


def model_rows(comparisons: Iterable[Comparison]) -> list[Row]:
    """A row for each case and model: what it cost."""
    return [_costs(c.case.name, side) for c in comparisons for side in c.sides]


def report(comparisons: Sequence[Comparison]) -> str:
    """Both tables in Markdown."""
    tables = (agreement_rows(comparisons), model_rows(comparisons))
    return "\n".join([*map(_markdown, tables), NOTE])


def write_tables(comparisons: Sequence[Comparison], folder: Path) -> None:
    """Write ``table.csv``, ``models.csv`` and ``table.md``."""
    write_text(folder / AGREEMENT, _csv(agreement_rows(comparisons)))
    write_text(folder / MODELS, _csv(model_rows(comparisons)))
    write_text(folder / REPORT, report(comparisons))


def table_files(folder: Path) -> list[Path]:
    """The files that ``write_tables`` writes."""
    return [folder / name for name in (AGREEMENT, MODELS, REPORT)]


def _row(comparison: Comparison, first: str, second: str, result: StructureResult) -> Row:
    return {
        "case": comparison.case.name,
        "compared": first,
        "with": second,
        "structure": result.name,
        "dice": result.dice,
        f"hd95 ({result.unit})": result.hd95,
        f"volume ({result.volume_unit})": result.prediction_volume,
        f"volume of the other ({result.volume_unit})": result.reference_volume,
        f"volume difference ({result.volume_unit})": result.volume_difference,
    }


def _costs(case: str, side: Side) -> Row:
    measured = side.measured
    row: Row = {
        "case": case,
        "model": side.bundle.name,
        "networks": len(side.bundle.description.members),
        "device": measured.result.device,
        "engine": measured.result.engine,
        "seconds": measured.seconds,
        "loading (s)": measured.loading_seconds,
        "peak memory (GiB)": measured.peak_memory_gib,
    }
    if measured.peak_gpu_gib is not None:
        row["peak GPU memory (GiB)"] = measured.peak_gpu_gib
    return row


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if _undefined(value) else value for key, value in row.items()})
    return text.getvalue()


def _markdown(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    numeric = [isinstance(rows[0].get(column), (int, float)) for column in columns]
    lines = [columns, ["---:" if number else "---" for number in numeric]]
    lines += [[_cell(row.get(column, "")) for column in columns] for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value.replace("|", "\\|")
    if _undefined(value):
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _undefined(value: str | float) -> bool:
    return isinstance(value, float) and math.isnan(value)
