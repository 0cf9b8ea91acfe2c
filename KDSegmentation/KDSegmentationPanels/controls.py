"""Making the few kinds of controls that the panels are built of, each with a parent."""

from __future__ import annotations

from pathlib import Path

import ctk
import qt
import slicer
from slicer.i18n import tr as _


def section(title, layout, collapsed=False):
    """A folding section of the panel; (the section, the layout of its content)."""
    button = ctk.ctkCollapsibleButton()
    button.text = title
    button.collapsed = collapsed
    layout.addWidget(button)
    return button, qt.QVBoxLayout(button)


def row(layout, parent):
    """A line of controls beside each other."""
    line = qt.QWidget(parent)
    content = qt.QHBoxLayout(line)
    content.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(line)
    return line, content


def text(parent, layout, content=""):
    """A paragraph that wraps; hidden by ``say`` while it is empty."""
    label = qt.QLabel(parent)
    label.wordWrap = True
    layout.addWidget(label)
    say(label, content)
    return label


def say(label, content):
    """Show a text, or nothing at all."""
    label.text = content
    label.visible = bool(content)


def button(title, parent, layout, pressed, tip=""):
    """A button; ``pressed`` is a bound method without arguments."""
    made = qt.QPushButton(title, parent)
    made.toolTip = tip
    made.connect("clicked()", pressed)
    layout.addWidget(made)
    return made


def selector(parent, kinds, chosen, none_text=""):
    """A list of the scene's nodes of some kinds; ``chosen`` is called with the node or None."""
    made = slicer.qMRMLNodeComboBox(parent)
    made.nodeTypes = kinds
    made.addEnabled = False
    made.removeEnabled = False
    made.renameEnabled = False
    made.noneEnabled = True
    if none_text:
        made.noneDisplay = none_text
    made.setMRMLScene(slicer.mrmlScene)
    made.connect("currentNodeChanged(vtkMRMLNode*)", chosen)
    return made


def allow(control, problem, tip=""):
    """Enable a control, or disable it with the reason as its tooltip."""
    control.enabled = problem is None
    control.toolTip = str(problem) if problem is not None else tip


def may_write(chosen, files):
    """Ask before files are replaced that a dialog, which saw ``chosen`` only, did not ask about."""
    there = [str(f) for f in files if Path(f).exists() and Path(f) != Path(chosen)]
    return not there or slicer.util.confirmOkCancelDisplay(
        _("Already there: {files}. Replace?").format(files=", ".join(there)), _("Save")
    )


def fill(combo, entries):
    """Put (title, data) entries into a combo box, if they are not there yet."""
    shown = [(combo.itemText(n), combo.itemData(n)) for n in range(combo.count)]
    if shown == entries:
        return
    combo.clear()
    for title, data in entries:
        combo.addItem(title, data)


def choose(combo, data):
    """Make the entry with these data the current one, if there is one."""
    index = combo.findData(data)
    if index != combo.currentIndex:
        combo.setCurrentIndex(index)


def choose_titled(combo, data):
    """Choose, for long titles: whole under the mouse, since a narrow panel cuts their ends."""
    choose(combo, data)
    combo.toolTip = combo.currentText
