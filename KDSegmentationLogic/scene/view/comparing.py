"""The tables of a comparison as the panel shows them. Standard library only."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from KDSegmentationLogic.scene.view.text import duration, number
from KDSegmentationLogic.scene.view.text import tr as _

Row = Mapping[str, float | int | str]


def columns(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """(title, tooltip) of each column; titles are short, for a narrow panel.

    ``rows`` : of the table of agreement, as ``SceneLogic.compare`` makes it.
    """
    return [_column(key, n) for n, key in enumerate(_keys(rows))]


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """The texts of the table, numbers with as many digits as they deserve."""
    keys = _keys(rows)
    return [[_cell(key, row.get(key)) for key in keys] for row in rows]


def runs_text(rows: Sequence[Row]) -> str:
    """What each model cost, a line each, numbered as the views: seconds, memory, device."""
    lines = []
    for place, row in enumerate(rows, start=1):
        parts = [duration(float(row["seconds"]))]
        memory = row.get("peak memory (GiB)")
        if _finite(memory):
            parts.append(f"{float(memory or 0):.2f} GiB")
        parts.append(str(row["device"]))
        lines.append(f"{place}: {row['model']}, {', '.join(parts)}")
    return "\n".join(lines)


def verdict(rows: Sequence[Row]) -> str:
    """One sentence above the table: which structure agrees least."""
    scored = [(float(row["dice"]), row["structure"]) for row in rows if _finite(row.get("dice"))]
    if not scored:
        return _("Neither found a structure.")
    dice, structure = min(scored)
    if dice >= 0.9995:
        return _("The two agree in every structure.")
    return _("They agree least on {structure}: Dice {dice}.").format(
        structure=structure, dice=number(dice, 3)
    )


def csv_text(tables: Sequence[Sequence[Row]]) -> str:
    """The tables with all digits, for a file; an empty line between two."""
    parts = []
    for rows in tables:
        out = io.StringIO()
        writer = csv.DictWriter(out, _keys(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        parts.append(out.getvalue())
    return "\n".join(parts)


def _keys(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _column(key: str, place: int) -> tuple[str, str]:
    if key == "structure":
        return _("Structure"), ""
    if key == "dice":
        return _("Dice"), _("1: the two are the same; 0: they share no voxel.")
    if key.startswith("hd95"):
        unit = key.rpartition("(")[2].rstrip(")")
        tip = _("95 % of the two surfaces are nearer to each other than this ({unit}).")
        return "HD95", tip.format(unit=unit)
    unit = key.rpartition("(")[2].rstrip(")")
    if key.startswith("difference"):
        return f"Δ {unit}", _("Volume of the first minus that of the second.")
    short = _("1st {unit}") if place == 3 else _("2nd {unit}")
    return short.format(unit=unit), _("Volume, {model}.").format(model=key)


def _cell(key: str, value: float | int | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return number(float(value), 3 if key == "dice" else 2)


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and abs(value) < float("inf")
