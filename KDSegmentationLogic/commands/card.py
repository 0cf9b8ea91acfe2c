"""A model's card as text: what a user wants to know before trusting it.

Standard library only.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Description, Label, Measurement

_WIDTH = 88
_INDENT = " " * 16


def card(bundle: Bundle, problem: str | None = None) -> str:
    """The card of a bundle; ``problem`` is what verifying its files found, if anything."""
    described = bundle.description
    entries = [
        ("Name", f"{bundle.name} ({described.kind}{_members(described)})"),
        ("What it does", described.summary),
        ("Input", "; ".join(f"{c.name} ({c.modality})" for c in described.channels)),
        ("It expects", described.expects.description + _spacing(described)),
        ("Field of view", _field_of_view(described)),
        ("Training data", described.training_data),
        ("Licence", described.licence),
        ("Citation", described.citation),
        ("Related", described.relative or ""),
        ("Files", problem or f"whole (SHA-256 checked), in {bundle.folder}"),
    ]
    lines = [described.title, "=" * len(described.title), ""]
    for title, text in entries:
        if text:
            lines += _entry(title, text)
    lines += ["", "Structures", *_structures(described.labels)]
    for measurement in described.measured:
        lines += ["", *_measured(measurement)]
    return "\n".join(lines)


def _entry(title: str, text: str) -> list[str]:
    # Paths and checksums stay whole, to be copied.
    return textwrap.wrap(
        f"{title + ':':16}{text}",
        _WIDTH,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _members(described: Description) -> str:
    count = len(described.members)
    return f" of {count} networks" if count > 1 else ""


def _spacing(described: Description) -> str:
    limits = described.expects.spacing_range_mm
    return f"; voxels of {limits[0]:g} to {limits[1]:g} mm" if limits else ""


def _field_of_view(described: Description) -> str:
    view = described.field_of_view
    if view.kind == "whole" or view.extent_mm is None:
        return "the whole image"
    extent = " x ".join(f"{length:g}" for length in view.extent_mm)
    return f"a box of about {extent} mm round one structure: give --point or --roi"


def _structures(labels: Iterable[Label]) -> list[str]:
    lines = []
    for label in labels:
        code = label.terminology.type if label.terminology else None
        coded = f"  ({code.scheme} {code.value}, {code.meaning})" if code else ""
        lines.append(f"{label.value:5}  {label.name}{coded}")
    return lines


def _measured(found: Measurement) -> list[str]:
    lines = [f"Measured on {found.data}, {found.cases} cases"]
    width = max((len(name) for name in found.dice), default=0)
    for name, dice in found.dice.items():
        hd95 = found.hd95_mm.get(name)
        distance = f"  HD95 {hd95:.2f} mm" if hd95 is not None else ""
        lines.append(f"       {name:{width}}  Dice {dice:.3f}{distance}")
    costs = []
    if found.seconds_per_case is not None:
        costs.append(f"{found.seconds_per_case:.2f} s a case")
    if found.peak_memory_gib is not None:
        costs.append(f"{found.peak_memory_gib:.2f} GiB of memory")
    if costs:
        where = f" ({found.hardware})" if found.hardware else ""
        lines.append(f"       {', '.join(costs)}{where}")
    return lines
