"""The page as Markdown, its drawings as SVG files beside it."""

from __future__ import annotations

import re

from KDSegmentationLogic.studies.reporting.page import (
    INK,
    Block,
    Bullets,
    Code,
    Figure,
    Page,
    Table,
    Text,
)

FIGURES = "figures"
"""The folder of the drawings, beside the Markdown file."""


def markdown(page: Page) -> str:
    """The whole file."""
    parts = [f"# {_escaped(page.title)}", *map(_block, page.summary)]
    for section in page.sections:
        parts += [f"## {_escaped(section.title)}", *map(_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def drawings(page: Page) -> dict[str, str]:
    """File name to SVG, dark on white: a viewer of Markdown does not hand its colours on."""
    blocks = [*page.summary, *(block for section in page.sections for block in section.blocks)]
    found = (block for block in blocks if isinstance(block, Figure))
    return {f"{figure.name}.svg": _on_white(figure.svg) for figure in found}


def _on_white(svg: str) -> str:
    """With its size, and a white ground."""
    box = svg.split('viewBox="', 1)[1].split('"', 1)[0].split()
    svg = svg.replace(INK, "#202020")
    svg = svg.replace("<svg ", f'<svg width="{box[2]}pt" height="{box[3]}pt" ', 1)
    ground = f'<rect width="{box[2]}" height="{box[3]}" fill="#ffffff"/>'
    return re.sub(r"(<svg[^>]*>)", rf"\1{ground}", svg, count=1)


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return _escaped(block.text)
    if isinstance(block, Bullets):
        return "\n".join(f"- {_escaped(item)}" for item in block.items)
    if isinstance(block, Code):
        return f"```\n{block.text.rstrip()}\n```"
    if isinstance(block, Figure):
        return f"![{block.name}]({FIGURES}/{block.name}.svg)\n\n{_escaped(block.caption)}"
    return _table(block)


def _table(table: Table) -> str:
    lines = [_line(table.head), "|---|" + "---:|" * (len(table.head) - 1)]
    lines += [_line(row) for row in table.rows]
    text = f"**{_escaped(table.title)}**\n\n" + "\n".join(lines)
    return text + (f"\n\n{_escaped(table.note)}" if table.note else "")


def _line(cells: object) -> str:
    return "| " + " | ".join(_escaped(str(cell)).replace("|", "\\|") for cell in cells) + " |"  # type: ignore[attr-defined]


def _escaped(text: str) -> str:
    """Without what Markdown would take for marks of its own."""
    return re.sub(r"([*_`<\[\]\\])", r"\\\1", text)
