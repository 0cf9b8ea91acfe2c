"""Modules: loading a scripted one from its file, its description, widget and logic."""

# ruff: noqa: N802, N801, N815

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from Testing.SlicerHost.mrml_tables import qMRMLSegmentEditorWidget
from Testing.SlicerHost.widgets import base, stand_in, stored

_NO_FILE = Path(__file__).with_name("SegmentEditor") / "SegmentEditor.py"


@stand_in
class qSlicerScriptedLoadableModule(base(QtCore.QObject)):  # type: ignore[misc]
    """What Slicer knows of a module before it is opened."""

    title = stored(str, "")
    moduleName = stored(str, "")
    path = stored(str, "")
    helpText = stored(str, "")
    acknowledgementText = stored(str, "")
    categories = stored("QStringList", [])
    dependencies = stored("QStringList", [])
    contributors = stored("QStringList", [])
    associatedNodeTypes = stored("QStringList", [])
    hidden = stored(bool, False)
    index = stored(int, -1)

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self.objectName = self.moduleName = name
        self.path = str(path)
        self._widget: Any = None

    def widgetRepresentation(self) -> Any:
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget(self.moduleName)
            self._widget.reload()
        return self._widget

    def logic(self) -> None:
        """The C++ logic, which a scripted module does not have."""


@stand_in
class qSlicerScriptedLoadableModuleWidget(base(QtWidgets.QWidget)):  # type: ignore[misc]
    """The frame that a scripted module's Python widget fills."""

    def __init__(self, module_name: str) -> None:
        super().__init__()
        self._module_name = module_name
        self._python: Any = None
        self._entered = False
        QtWidgets.QWidget.setLayout(self, base(QtWidgets.QVBoxLayout)())

    def self(self) -> Any:
        return self._python

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def setMRMLScene(self, _scene: Any) -> None:
        """There is one scene."""

    def reload(self) -> None:
        """Make the Python widget anew from the module's class as it is now."""
        source = sys.modules.get(self._module_name, sys.modules[__name__])
        self._python = getattr(source, self._module_name + "Widget")(self)
        setattr(slicer.modules, self._module_name + "Widget", self._python)
        self._python.setup()
        if self._entered:
            self._python.enter()

    def enter(self) -> None:
        self._entered = True
        self._python.enter()

    def exit(self) -> None:
        self._entered = False
        self._python.exit()


class SegmentEditorWidget:
    """The Python widget of Slicer's own Segment Editor, as far as it is handed something."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.editor = qMRMLSegmentEditorWidget(parent)

    def setup(self) -> None:
        self.parent.layout().addWidget(self.editor)

    def enter(self) -> None:
        """Nothing to do."""

    exit = cleanup = enter


@stand_in
class qSlicerModuleManager(base(QtCore.QObject)):  # type: ignore[misc]
    """``slicer.app.moduleManager()``."""

    moduleLoaded = QtCore.Signal(str)
    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}
        self._add(qSlicerScriptedLoadableModule("SegmentEditor", _NO_FILE))

    def _add(self, description: Any) -> None:
        self._modules[description.moduleName] = description
        setattr(slicer.modules, description.moduleName.lower(), description)

    def load(self, path: Path) -> Any:
        """Import a module's file as Slicer does at its start, and describe it."""
        name = path.stem
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        specification = importlib.util.spec_from_file_location(name, path)
        source = importlib.util.module_from_spec(specification)  # type: ignore[arg-type]
        sys.modules[name] = source
        specification.loader.exec_module(source)  # type: ignore[union-attr]
        description = qSlicerScriptedLoadableModule(name, path)
        getattr(source, name)(description)
        self._add(description)
        self.moduleLoaded(name)
        return description

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._modules)

    loadedModuleNames = modulesNames

    def factoryManager(self) -> Any:
        return self

    def unload_all(self) -> None:
        """What Slicer does when it ends."""
        for name, description in self._modules.items():
            if description._widget is not None and description._widget._entered:
                description._widget.exit()
            self.moduleAboutToBeUnloaded(name)
            vars(slicer.modules).pop(name.lower(), None)
            vars(slicer.modules).pop(name + "Widget", None)
            folder = Path(description.path).parent
            for imported, source in list(sys.modules.items()):
                if folder in Path(getattr(source, "__file__", None) or "/").parents:
                    del sys.modules[imported]
            if description._widget is not None:
                description._widget._python = None
                description._widget.delete()
        self._modules.clear()
