"""How figures of a report look, and how they become SVG text."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from KDSegmentationLogic.studies.reporting.content import Role
from KDSegmentationLogic.studies.reporting.page import INK

COLOURS: Mapping[Role, str] = {
    "ensemble": "#3b82c4",
    "student": "#e0701a",
    "baseline": "#2a9d6f",
    "member": "#8c8c8c",
}
"""Told apart by colour-blind readers, on white and on black."""

MARKERS: Mapping[Role, str] = {"ensemble": "s", "student": "o", "baseline": "^", "member": "D"}

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's own font
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "savefig.transparent": True,
}


def canvas(width: float, height: float) -> Canvas:
    """An empty drawing, in inches."""
    with mpl.rc_context(STYLE):
        return Canvas(figsize=(width, height), layout="constrained")


def light_grid(axes: Axes, axis: str = "x") -> None:
    axes.grid(axis=axis, color="#8c8c8c", alpha=0.25, linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def as_svg(figure: Canvas, name: str) -> str:
    """The ``<svg>`` element alone, the same for the same drawing.

    ``name`` keeps the ids inside apart from those of the page's other drawings.
    """
    text = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    tag, rest = svg[svg.index("<svg") :].split(">", 1)
    # a width in points would not shrink with a narrow window; the box's sizes stay in viewBox
    svg = re.sub(r' (?:width|height)="[^"]*"', "", tag) + ">" + rest
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", svg)
