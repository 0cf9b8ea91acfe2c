"""Test double of what ``KDSegmentation.py`` takes from the Slicer application. Not Slicer.

Only enough to import the module file and to run its methods over the real MRML scene of
slicer-core: three base classes, translation, and the widgets that the panel creates. The
widgets follow PythonQt's dialect: properties are attributes, and a name that the real
widget does not have raises ``AttributeError``.
"""

from __future__ import annotations

import sys
import unittest
from types import ModuleType, SimpleNamespace
from typing import Any


class QLabel:
    __slots__ = ("text", "wordWrap")


class QListWidget:
    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: list[str] = []

    def addItem(self, text: str) -> None:  # noqa: N802
        self._items.append(text)

    def items(self) -> list[str]:
        """For tests; the real widget gives its items one by one."""
        return self._items


class Layout:
    """A vertical layout that remembers what was put into it."""

    def __init__(self) -> None:
        self.widgets: list[Any] = []

    def addWidget(self, widget: Any) -> None:  # noqa: N802
        self.widgets.append(widget)


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        self.parent = parent
        self.layout = Layout()
        self.reloaded = 0

    def setup(self) -> None:
        """The original adds the developer's section here."""

    def onReload(self) -> None:  # noqa: N802
        self.reloaded += 1


class ScriptedLoadableModuleTest(unittest.TestCase):
    def runTest(self) -> None:  # noqa: N802
        """Each module overrides this; unittest asks for it."""


def install(monkeypatch: Any) -> None:
    """Put the double where the module file imports from, beside the real ``slicer``."""
    import slicer

    qt = SimpleNamespace(QLabel=QLabel, QListWidget=QListWidget)
    i18n = SimpleNamespace(tr=lambda text: text, translate=lambda _context, text: text)
    bases = SimpleNamespace(
        ScriptedLoadableModule=ScriptedLoadableModule,
        ScriptedLoadableModuleWidget=ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleTest=ScriptedLoadableModuleTest,
    )
    for name, content in (
        ("qt", qt),
        ("slicer.i18n", i18n),
        ("slicer.ScriptedLoadableModule", bases),
    ):
        module = ModuleType(name)
        vars(module).update(vars(content))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(slicer, "selfTests", {}, raising=False)
