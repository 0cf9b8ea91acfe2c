"""The page as one HTML file: nothing is fetched, no script is run, light or dark as the reader
has it."""

from __future__ import annotations

from html import escape

from KDSegmentationLogic.studies.reporting.page import (
    INK,
    Block,
    Bullets,
    Code,
    Figure,
    Page,
    Section,
    Table,
    Text,
)

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 0 auto; padding: 1rem 1.5rem
  4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 1.2rem 0 .6rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; border-top: 1px solid var(--line); padding-top:
  1.2rem; }
p, li { max-width: 48rem; }
nav { margin: 1rem 0; }
nav a { margin-right: 1.1rem; white-space: nowrap; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
caption, summary { text-align: left; font-weight: 600; padding: .3rem 0; }
summary { cursor: pointer; }
th, td { padding: .28rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { vertical-align: bottom; border-bottom-width: 2px; font-weight: 600; max-width: 9rem; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: Canvas; white-space: nowrap; }
tbody th { font-weight: 500; }
tbody tr:hover td, tbody tr:hover th { background: var(--soft); }
.note, figcaption { font-size: .84rem; opacity: .8; max-width: 60rem; }
figure { margin: 1.4rem 0; }
figure svg { max-width: 100%; height: auto; display: block; }
pre { font-size: .8rem; line-height: 1.4; background: var(--soft); padding: .8rem 1rem;
  overflow: auto; max-height: 34rem; border-radius: 6px; }
@media print { pre { max-height: none; } nav { display: none; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } }
"""


def html(page: Page) -> str:
    """The whole file."""
    links = "\n".join(
        f'<a href="#{_anchor(section)}">{escape(section.title)}</a>' for section in page.sections
    )
    body = [f"<h1>{escape(page.title)}</h1>", *map(_block, page.summary), f"<nav>{links}</nav>"]
    for section in page.sections:
        body.append(f'<h2 id="{_anchor(section)}">{escape(section.title)}</h2>')
        body += map(_block, section.blocks)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(page.title)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


def _anchor(section: Section) -> str:
    return "".join(c if c.isalnum() else "-" for c in section.title.lower())


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return f"<p>{escape(block.text)}</p>"
    if isinstance(block, Bullets):
        return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>"
    if isinstance(block, Code):
        return f"<pre>{escape(block.text)}</pre>"
    if isinstance(block, Figure):
        return _figure(block)
    return _table(block)


def _figure(figure: Figure) -> str:
    width = _width(figure.svg)
    svg = figure.svg.replace(INK, "currentColor")
    svg = svg.replace("<svg ", f'<svg style="width:{width}px" role="img" ', 1)
    caption = escape(figure.caption)
    return f'<figure id="figure-{figure.name}">{svg}<figcaption>{caption}</figcaption></figure>'


def _width(svg: str) -> int:
    """CSS pixels of a drawing whose viewBox is in points."""
    box = svg.split('viewBox="', 1)[1].split('"', 1)[0].split()
    return round(float(box[2]) * 96 / 72 * 1.15)


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    rows = []
    for first, *others in table.rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        rows.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    caption = "" if table.folded else f"<caption>{escape(table.title)}</caption>"
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    text = f'<div class="wide"><table>{caption}{body}</table></div>'
    if table.note:
        text += f'<p class="note">{escape(table.note)}</p>'
    if table.folded:
        return f"<details><summary>{escape(table.title)}</summary>{text}</details>"
    return text
