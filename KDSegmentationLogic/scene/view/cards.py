"""The card of a model: what a user wants to know before trusting it, as Qt's rich text.

Standard library only. Everything that comes from a bundle is escaped: a model must not be
able to put links or pictures into the panel.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Description, Measurement
from KDSegmentationLogic.scene.view.text import channel, duration, number, size
from KDSegmentationLogic.scene.view.text import tr as _


def menu_text(bundle: Bundle) -> str:
    """One line of the model list."""
    return bundle.description.title


def summary(bundle: Bundle) -> str:
    """The line below the model list: what it finds, in what."""
    described = bundle.description
    channels = " + ".join(channel(c.name, c.modality) for c in described.channels)
    return _("{summary} Needs {channels}.").format(
        summary=_sentence(described.summary), channels=channels
    )


def card(bundle: Bundle, relative: Bundle | None = None) -> str:
    """The card of a bundle as HTML; ``relative`` is its ensemble or its student, if installed."""
    described = bundle.description
    entries = [
        (_("Structures"), _structures(described)),
        (_("Input"), _input(described)),
        (_("Made of"), escape(_made_of(described))),
        (_("Measured"), _measured(bundle, relative)),
        (_("Training data"), escape(described.training_data)),
        (_("Licence"), escape(described.licence)),
        (_("Please cite"), escape(described.citation)),
        (_("Use"), escape(_("Research only, not for clinical use."))),
    ]
    rows = "".join(
        f"<tr><td style='padding-right:10px'><b>{escape(title)}</b></td><td>{content}</td></tr>"
        for title, content in entries
        if content
    )
    return f"<table cellspacing='0' cellpadding='3'>{rows}</table>"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith(".") else text + "."


def _structures(described: Description) -> str:
    squares = []
    for label in described.labels:
        colour = "#{:02x}{:02x}{:02x}".format(*label.color)
        squares.append(f"<span style='color:{colour}'>&#9632;</span>&nbsp;{escape(label.name)}")
    return "&nbsp; ".join(squares)


def _input(described: Description) -> str:
    text = escape(_sentence(described.expects.description))
    view = described.field_of_view
    if view.kind == "crop" and view.extent_mm:
        text += " " + escape(
            _("It sees a box of {extent}, so it is run at a click or in a region.").format(
                extent=size(view.extent_mm)
            )
        )
    return text


def _made_of(described: Description) -> str:
    count = len(described.members)
    if described.kind == "ensemble":
        return _("an ensemble of {count} networks").format(count=count)
    if described.kind == "student":
        return _("one small network, distilled from an ensemble")
    return _("one network")


def _measured(bundle: Bundle, relative: Bundle | None) -> str:
    """Dice, time and memory; beside those of the relative where both saw the same data."""
    if not bundle.description.measured:
        return escape(_("nothing was measured yet"))
    own = bundle.description.measured[0]
    columns = [(_kind(bundle), own)]
    if relative is not None:
        same = [m for m in relative.description.measured if m.data == own.data]
        columns += [(_kind(relative), measurement) for measurement in same[:1]]
    head = "".join(f"<td align='right'><i>{escape(kind)}</i></td>" for kind, _m in columns)
    rows = [f"<tr><td></td>{head}</tr>"]
    for name in own.dice:
        dice = [number(m.dice.get(name), 3) for _k, m in columns]
        rows.append(_row(_("Dice, {structure}").format(structure=name), dice))
    if own.seconds_per_case is not None:
        rows.append(_row(_("Time a case"), [_seconds(m) for _k, m in columns]))
    if own.peak_memory_gib is not None:
        rows.append(_row(_("Memory"), [_memory(m) for _k, m in columns]))
    where = _("{cases} cases of {data}").format(cases=own.cases, data=own.data)
    if own.hardware:
        where += _("; time on {hardware}").format(hardware=own.hardware)
    return f"<table cellpadding='2'>{''.join(rows)}</table>{escape(where)}"


def _row(title: str, values: Sequence[str]) -> str:
    cells = "".join(f"<td align='right'>&nbsp;&nbsp;{escape(value)}</td>" for value in values)
    return f"<tr><td>{escape(title)}</td>{cells}</tr>"


def _kind(bundle: Bundle) -> str:
    kinds = {"student": _("student"), "ensemble": _("ensemble"), "network": _("network")}
    return kinds[bundle.description.kind]


def _seconds(measured: Measurement) -> str:
    return "–" if measured.seconds_per_case is None else duration(measured.seconds_per_case)


def _memory(measured: Measurement) -> str:
    gib = measured.peak_memory_gib
    return "–" if gib is None else f"{gib:.2f} GiB"
