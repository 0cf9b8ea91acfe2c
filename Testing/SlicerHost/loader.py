"""Reading ``.ui`` files whose widgets are also ctk's and qMRML's."""

# ruff: noqa: N802

from __future__ import annotations

import xml.etree.ElementTree as Xml
from typing import Any

from PySide6 import QtCore, QtUiTools

from Testing.SlicerHost.properties import adopt, dialect_class, loading, qt_name

_STAND_INS: dict[str, type] = {}


def register(kind: type) -> type:
    """Make a stand-in known to ``.ui`` files by its class's name."""
    _STAND_INS[kind.__name__] = kind
    return kind


class _Loader(QtUiTools.QUiLoader):
    """Makes each widget in PythonQt's dialect; Slicer would load a plugin for its own."""

    def createWidget(self, name: str, parent: Any = None, object_name: str = "") -> Any:
        if name in _STAND_INS:
            kind = _STAND_INS[name]
        elif name.startswith("Q"):
            kind = qt_name(name)
        else:
            raise RuntimeError(f"the .ui file asks for {name}, which this host does not have")
        widget = kind(parent)
        QtCore.QObject.setObjectName(widget, object_name)
        return widget


class QUiLoader(dialect_class(QtCore.QObject)):  # type: ignore[misc]
    """``load(file)``: connections that involve the scene are made in Python."""

    stand_in = True

    def load(self, file: Any, parent: Any = None) -> Any:
        root = Xml.fromstring(bytes(QtCore.QFile.readAll(file).data()))
        section = root.find("connections")
        connections = [] if section is None else list(section)
        if section is not None:
            root.remove(section)
        _flatten(root)
        buffer = QtCore.QBuffer()
        buffer.setData(Xml.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        loader = _Loader()
        loading.append(True)
        try:
            widget = adopt(loader.load(buffer, parent))
        finally:
            loading.pop()
        if widget is None:
            raise RuntimeError(loader.errorString())
        for entry in connections:
            _connect(widget, *(entry.findtext(k) or "" for k in _PARTS))
        return widget


_PARTS = ("sender", "signal", "receiver", "slot")


def _flatten(root: Xml.Element) -> None:
    """Custom widgets are made by name here; their declared bases would replace them."""
    custom = root.find("customwidgets")
    if custom is not None:
        root.remove(custom)


def _connect(widget: Any, sender: str, signal: str, receiver: str, slot: str) -> None:
    ends = []
    for name in (sender, receiver):
        top = QtCore.QObject.objectName(widget) == name
        end = widget if top else widget.findChild(QtCore.QObject, name)
        if end is None:
            raise RuntimeError(f"a connection in the .ui file names {name}, which is not there")
        ends.append(end)
    ends[0].connect(signal, ends[1], slot)
