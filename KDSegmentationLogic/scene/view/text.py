"""Texts of the panels: translation, and the way in which numbers are written.

Standard library only, so that every sentence can be tested without Slicer.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

CONTEXT = "KDSegmentation"
"""The translation context of all panels, as Slicer names it after the module."""


def tr(text: str) -> str:
    """Slicer's translation of a text; the text itself outside of the application."""
    try:
        from slicer.i18n import translate
    except ImportError:  # slicer-core has no Qt to translate with
        return text
    return str(translate(CONTEXT, text))


def control_key() -> str:
    """What this platform calls the key that Qt, and VTK with it, take for Ctrl."""
    return "Cmd" if sys.platform == "darwin" else "Ctrl"


def duration(seconds: float) -> str:
    """A time as one says it: 0.08 s, 1.2 s, 12 s, 3 min, 2 h 5 min."""
    if seconds < 0.1:
        return f"{seconds:.1g} s"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def number(value: float | None, digits: int = 2) -> str:
    """A measured number; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}"


def size(extent_mm: Sequence[float]) -> str:
    """40 x 56 x 40 mm."""
    return " × ".join(f"{length:g}" for length in extent_mm) + " mm"


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    if len(names) < 2:
        return "".join(names)
    return tr("{first} and {last}").format(first=", ".join(names[:-1]), last=names[-1])


def channel(name: str, modality: str) -> str:
    """T1 (MR), but CT."""
    return name if name == modality else f"{name} ({modality})"
