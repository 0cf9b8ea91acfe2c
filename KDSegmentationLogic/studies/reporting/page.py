"""A page as plain data, so that HTML and Markdown say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Text to be shown as it is."""

    text: str


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column names the row. ``note`` stands below.

    folded : shown when asked for, where the format can.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing as SVG, in which ``INK`` is the colour of the text round it."""

    name: str
    svg: str
    caption: str


Block = Text | Bullets | Code | Table | Figure

INK = "#010203"
"""A colour that no drawing needs; each format puts the page's own in its place."""


@dataclass(frozen=True)
class Section:
    """A heading and what is under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    summary: Sequence[Block]
    sections: Sequence[Section]
