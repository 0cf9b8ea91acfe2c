"""What ``slicer.ScriptedLoadableModule`` gives: the bases of a scripted module's classes."""

# ruff: noqa: N802, N803

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from typing import Any

import slicer

from Testing.SlicerHost import ctk
from Testing.SlicerHost.qt import module as qt


def _resource(class_name: str, filename: str) -> str:
    file = sys.modules[class_name].__file__
    return str(Path(str(file)).parent / "Resources" / filename)


class ScriptedLoadableModule:
    """Describes the module to ``parent``, a qSlicerScriptedLoadableModule."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = self.moduleName
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return _resource(self.moduleName, filename)

    def getDefaultModuleDocumentationLink(self, _docPage: str | None = None) -> str:
        return f'<a href="https://slicer.readthedocs.io">{self.parent.title}</a>'

    def runTest(self, *_arguments: Any, **_named: Any) -> None:
        getattr(sys.modules[self.moduleName], self.moduleName + "Test")().runTest()


class ScriptedLoadableModuleWidget:
    """A module's panel, inside ``parent``, a qSlicerScriptedLoadableModuleWidget."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue(
            "Developer/DeveloperMode", False, converter=slicer.util.toBool
        )
        self.parent = parent
        if parent is None:
            self.parent = qt.QWidget()
            self.parent.setLayout(qt.QVBoxLayout())
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect(
            "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
        )

    def resourcePath(self, filename: str) -> str:
        return _resource(self.moduleName, filename)

    def setup(self) -> None:
        """Each module overrides this, and calls it first."""
        self.reloadCollapsibleButton = ctk.ctkCollapsibleButton()
        self.reloadCollapsibleButton.text = "Reload && Test"
        self.layout.addWidget(self.reloadCollapsibleButton)
        row = qt.QHBoxLayout(self.reloadCollapsibleButton)
        self.reloadButton = qt.QPushButton("Reload")
        self.reloadButton.connect("clicked()", self.onReload)
        row.addWidget(self.reloadButton)
        self.reloadTestButton = qt.QPushButton("Reload and Test")
        self.reloadTestButton.connect("clicked()", self.onReloadAndTest)
        row.addWidget(self.reloadTestButton)
        self.reloadCollapsibleButton.setVisible(self.developerMode)

    def cleanup(self) -> None:
        """The module is unloaded or reloaded."""

    def enter(self) -> None:
        """The user comes to the module."""

    def exit(self) -> None:
        """The user goes to another module."""

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def onReloadAndTest(self, **_named: Any) -> None:
        self.onReload()
        slicer.selfTests[self.moduleName]()

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect(
                "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
            )


class ScriptedLoadableModuleLogic:
    """A module's logic; old style: it knows the module's parameter node."""

    def __init__(self, parent: Any = None) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node.SetAttribute("ModuleName", self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A module's own test, run by Reload and Test and by ``ctest``."""

    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        self.messageDelay = 0

    def delayDisplay(self, message: str, *_arguments: Any, **_named: Any) -> None:
        slicer.util.showStatusMessage(message)

    def runTest(self) -> None:
        """Each module overrides this; unittest asks for it."""
