"""Results of many cases: statistics for each structure, and files of both."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.evaluation.structures import StructureResult
from KDSegmentationLogic.files import write_text

METRICS = (
    *("dice", "hd95", "assd", "surface_dice"),
    *("volume_difference", "relative_volume_difference"),
)

CaseResults = Mapping[str, Sequence[StructureResult]]


@dataclass(frozen=True)
class Statistics:
    """One metric over the cases where it is defined; nan where too few are.

    ``sd`` is that of a sample (n - 1). The percentiles show the bad tail: ``p5`` for Dice,
    ``p95`` for distances. ``defined`` and ``undefined`` are numbers of cases.
    """

    mean: float
    sd: float
    median: float
    p5: float
    p95: float
    defined: int
    undefined: int


@dataclass(frozen=True)
class StructureSummary:
    """One structure over all cases that report it.

    ``tolerance`` is that of the surface Dice, in ``unit``.
    ``missed``, ``spurious`` and ``absent`` count cases with an empty prediction, an empty
    reference, or both; ``absent`` cases count as Dice 1 and have no distances.
    """

    value: int
    name: str
    unit: str
    volume_unit: str
    tolerance: float
    cases: int
    missed: int
    spurious: int
    absent: int
    metrics: Mapping[str, Statistics]


def statistics(values: Iterable[float]) -> Statistics:
    """Statistics of the values that are not nan."""
    everything = np.asarray(list(values), dtype=float)
    defined = everything[~np.isnan(everything)]
    undefined = len(everything) - len(defined)
    if not len(defined):
        return Statistics(*(math.nan,) * 5, defined=0, undefined=undefined)
    p5, median, p95 = (float(number) for number in np.percentile(defined, (5, 50, 95)))
    sd = float(defined.std(ddof=1)) if len(defined) > 1 else math.nan
    return Statistics(float(defined.mean()), sd, median, p5, p95, len(defined), undefined)


def summarise(results: CaseResults) -> list[StructureSummary]:
    """Statistics of each structure over the cases, in the order of the label values.

    Raises
    ------
    ImageError : a structure is measured in mm in one case and in pixels in another, or its
        surface Dice with another tolerance.
    """
    by_structure: dict[tuple[int, str], list[tuple[str, StructureResult]]] = {}
    for case, structures in results.items():
        for result in structures:
            by_structure.setdefault((result.value, result.name), []).append((case, result))
    return [_summary(by_structure[key]) for key in sorted(by_structure)]


def _summary(measured: list[tuple[str, StructureResult]]) -> StructureSummary:
    first_case, first = measured[0]
    for case, result in measured:
        if (result.unit, result.volume_unit) != (first.unit, first.volume_unit):
            raise ImageError(
                f"{first.name} is measured in {first.unit} and {first.volume_unit} in "
                f"{first_case} but in {result.unit} and {result.volume_unit} in {case}.",
                "Evaluate images of one kind together, or ask for pixels for all of them.",
            )
        if result.tolerance != first.tolerance:
            raise ImageError(
                f"The surface Dice of {first.name} has a tolerance of {first.tolerance:g} in "
                f"{first_case} and of {result.tolerance:g} in {case}.",
                "Evaluate all cases with one tolerance.",
            )
    presence = Counter(result.presence for _, result in measured)
    return StructureSummary(
        value=first.value,
        name=first.name,
        unit=first.unit,
        volume_unit=first.volume_unit,
        tolerance=first.tolerance,
        cases=len(measured),
        missed=presence["missed"],
        spurious=presence["spurious"],
        absent=presence["absent"],
        metrics={
            metric: statistics(getattr(result, metric) for _, result in measured)
            for metric in METRICS
        },
    )


def write_csv(target: Path, results: CaseResults) -> None:
    """Write one row for each case and structure; an undefined number is an empty cell."""
    rows = list(_rows(results))
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(target, text.getvalue())


def write_json(target: Path, results: CaseResults) -> None:
    """Write ``{"cases": [one object each], "structures": [summaries]}``; undefined is null."""
    content = {
        "cases": list(_rows(results)),
        "structures": [_without_nan(asdict(summary)) for summary in summarise(results)],
    }
    write_text(target, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


_COLUMNS = (
    *("case", "value", "structure", "presence", *METRICS),
    *("prediction_volume", "reference_volume", "unit", "volume_unit", "tolerance"),
)


def _rows(results: CaseResults) -> Iterable[dict[str, Any]]:
    for case, structures in results.items():
        for result in structures:
            row = {column: getattr(result, column, None) for column in _COLUMNS}
            row.update(case=case, structure=result.name)
            yield _without_nan(row)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def markdown(summaries: Sequence[StructureSummary]) -> str:
    """A Markdown table of the summaries, with the empty masks counted.

    Cells are mean ± standard deviation, and the percentile of the bad tail: the 5th for Dice,
    the 95th for distances. A distance over fewer cases than the row's says over how many.
    """
    units = sorted({(summary.unit, summary.volume_unit) for summary in summaries})
    mixed = len(units) > 1
    length, volume = units[0] if len(units) == 1 else ("", "")
    tolerances = {summary.tolerance for summary in summaries}
    within = f" at {tolerances.pop():g} {length}".rstrip() if len(tolerances) == 1 else ""
    header = [
        *("Structure", "Cases", "Dice", "median", "5th percentile", f"Surface Dice{within}"),
        *(_headed("HD95", length), "95th percentile", _headed("ASSD", length)),
        *(_headed("Volume difference", volume), "Missed", "Spurious", "Absent"),
    ]
    lines = [_line(header), _line(["---"] + ["---:"] * (len(header) - 1))]
    for summary in summaries:
        dice, hd95, assd, near, difference, _ = (summary.metrics[metric] for metric in METRICS)
        of_length, of_volume = (summary.unit, summary.volume_unit) if mixed else ("", "")
        lines.append(
            _line(
                [
                    *(summary.name.replace("|", "\\|"), str(summary.cases)),
                    *(_spread(dice, 3), _number(dice.median, 3), _number(dice.p5, 3)),
                    _spread(near, 3),
                    *(_spread(hd95, 2, of_length), _number(hd95.p95, 2)),
                    *(_spread(assd, 2, of_length), _spread(difference, 2, of_volume)),
                    *(str(summary.missed), str(summary.spurious), str(summary.absent)),
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _headed(title: str, unit: str) -> str:
    return f"{title} ({unit})" if unit else title


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _spread(numbers: Statistics, digits: int, unit: str = "") -> str:
    if not numbers.defined:
        return "–"
    text = _number(numbers.mean, digits)
    if not math.isnan(numbers.sd):
        text += f" ± {_number(numbers.sd, digits)}"
    if unit:
        text += f" {unit}"
    return f"{text} (n = {numbers.defined})" if numbers.undefined else text


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"
