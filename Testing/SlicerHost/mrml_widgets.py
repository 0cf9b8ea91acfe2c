"""The qMRML widgets that a segmentation module needs, over the real scene."""

# ruff: noqa: N801, N802, N815

from __future__ import annotations

from typing import Any

import slicer
import slicer.util
import vtk
from PySide6 import QtCore, QtWidgets

from Testing.SlicerHost.widgets import base, inside, stand_in, stored, weakly


class _SceneWidget(base(QtWidgets.QWidget)):  # type: ignore[misc]
    """A widget that is given the scene, and looks again when the scene has changed."""

    stand_in = True
    mrmlSceneChanged = QtCore.Signal(object)
    cpp_signals = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"}  # noqa: RUF012

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._tags: list[tuple[Any, int]] = []

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self.forget()
        self._scene = scene
        self._tags = []
        if scene is not None:
            for event in (
                slicer.vtkMRMLScene.NodeAddedEvent,
                slicer.vtkMRMLScene.NodeRemovedEvent,
                slicer.vtkMRMLScene.EndBatchProcessEvent,
                slicer.vtkMRMLScene.EndCloseEvent,
            ):
                self._tags.append((scene, scene.AddObserver(event, weakly(self._scene_changed))))
            QtCore.QObject.connect(self, "2destroyed()", _Forgetter(self._tags))
        self._scene_changed(None, "")
        self.mrmlSceneChanged(scene)

    def forget(self) -> None:
        """Observe nothing any more."""
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags.clear()

    def _scene_changed(self, _scene: Any, _event: str) -> None:
        if self._scene is None or not self._scene.IsBatchProcessing():
            self.look()

    def look(self) -> None:
        """Show the scene as it is now."""


class _Forgetter:
    """Removes observers of a widget that Qt has destroyed."""

    def __init__(self, tags: list[tuple[Any, int]]) -> None:
        self._tags = tags

    def __call__(self, *_ignored: Any) -> None:
        for observed, tag in self._tags:
            observed.RemoveObserver(tag)
        self._tags.clear()


@stand_in
class qMRMLWidget(_SceneWidget):
    """The frame of a ``.ui`` file: hands its scene on through the file's connections."""

    mrmlSceneChanged = QtCore.Signal(object)


def _look(self: Any) -> None:
    self.look()


@stand_in
class qMRMLNodeComboBox(_SceneWidget):
    """Chooses a node of the scene by its name.

    With ``noneEnabled`` the first entry is no node. Without, the first node is chosen by
    itself as soon as there is one, and only ``setCurrentNode(None)`` chooses none.
    """

    mrmlSceneChanged = QtCore.Signal(object)
    currentNodeChanged = QtCore.Signal((object,), (bool,))
    currentNodeIDChanged = QtCore.Signal(str)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    cpp_signals = {  # noqa: RUF012
        "mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)",
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged(PyObject)",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded(PyObject)",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser(PyObject)",
    }

    nodeTypes = stored("QStringList", [], _look)
    showHidden = stored(bool, False, _look)
    showChildNodeTypes = stored(bool, True, _look)
    noneEnabled = stored(bool, False, _look)
    noneDisplay = stored(str, "None", _look)
    hideChildNodeTypes = stored("QStringList", [], _look)
    addEnabled = stored(bool, True, _look)
    removeEnabled = stored(bool, True)
    editEnabled = stored(bool, False)
    renameEnabled = stored(bool, False)
    selectNodeUponCreation = stored(bool, True)
    baseName = stored(str, "")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._attributes: list[tuple[str, str, str | None]] = []
        self._ids: list[str | None] = []
        self._current: str | None = None
        self._named: list[tuple[Any, int]] = []
        self._box = base(QtWidgets.QComboBox)(self)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._box)
        inside(self._box, "activated(int)", self._activated)
        QtCore.QObject.connect(self, "2destroyed()", _Forgetter(self._named))

    def addAttribute(self, kind: str, name: str, value: Any = None) -> None:
        """Offer nodes of this class only if they have the attribute (with this value)."""
        self._attributes.append((kind, name, None if value is None else str(value)))
        self.look()

    def currentNode(self) -> Any:
        found = self._scene.GetNodeByID(self._current) if self._scene and self._current else None
        return found

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            raise TypeError("setCurrentNode takes a node; setCurrentNodeID takes its ID")
        self._choose(None if node is None else node.GetID())

    def setCurrentNodeID(self, identifier: str | None) -> None:
        self._choose(identifier or None)

    def _set_id(self, identifier: str) -> None:
        self._choose(identifier or None)

    currentNodeID = QtCore.Property(str, lambda self: self._current or "", _set_id)

    def nodeCount(self) -> int:
        return len(self._offered())

    def nodeFromIndex(self, index: int) -> Any:
        nodes = ([None] if self.noneEnabled else []) + self._offered()
        return nodes[index] if 0 <= index < len(nodes) else None

    def addNode(self, kind: str = "") -> Any:
        """What the entry "Create new ..." does."""
        kind = kind or self.nodeTypes[0]
        name = self.baseName or self._scene.CreateNodeByClass(kind).GetNodeTagName()
        node = self._scene.AddNewNodeByClass(kind, self._scene.GenerateUniqueName(name))
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser(node)
        return node

    def look(self) -> None:
        nodes = self._offered()
        self._observe_names(nodes)
        self._ids = ([None] if self.noneEnabled else []) + [node.GetID() for node in nodes]
        texts = [node.GetName() or "" for node in nodes]
        before = self._current
        blocked = self._box.blockSignals(True)
        self._box.clear()
        self._box.addItems(([self.noneDisplay] if self.noneEnabled else []) + texts)
        if self.addEnabled and self._scene is not None:
            self._box.addItems([f"Create new {kind}" for kind in self.nodeTypes])
        if before not in self._ids or (before is None and not self.noneEnabled):
            self._current = self._ids[0] if self._ids else None
        self._show_current()
        self._box.blockSignals(blocked)
        if self._current != before:
            self._tell()

    def _offered(self) -> list[Any]:
        if self._scene is None:
            return []
        kinds, hidden = self.nodeTypes, self.showHidden
        children, unwanted = self.showChildNodeTypes, self.hideChildNodeTypes
        found = [node for kind in kinds for node in slicer.util.getNodesByClass(kind, self._scene)]
        if len(kinds) > 1:
            count = self._scene.GetNumberOfNodes()
            found = [n for n in map(self._scene.GetNthNode, range(count)) if n in found]
        return [
            node
            for node in found
            if (children or node.GetClassName() in kinds)
            and (hidden or not node.GetHideFromEditors())
            and not any(node.IsA(kind) for kind in unwanted)
            and self._has_attributes(node)
        ]

    def _has_attributes(self, node: Any) -> bool:
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
            for kind, name, value in self._attributes
            if node.IsA(kind)
        )

    def _observe_names(self, nodes: list[Any]) -> None:
        for node, tag in self._named:
            node.RemoveObserver(tag)
        modified = vtk.vtkCommand.ModifiedEvent
        renamed = weakly(self._renamed)
        self._named[:] = [(node, node.AddObserver(modified, renamed)) for node in nodes]

    def _renamed(self, node: Any, _event: str) -> None:
        if node.GetID() in self._ids:
            self._box.setItemText(self._ids.index(node.GetID()), node.GetName() or "")

    def _activated(self, index: int) -> None:
        if index < len(self._ids):
            self._choose(self._ids[index])
        else:
            self._show_current()
            self.addNode(self.nodeTypes[index - len(self._ids)])

    def _choose(self, identifier: str | None) -> None:
        if identifier is not None and identifier not in self._ids:
            identifier = None
        if identifier != self._current:
            self._current = identifier
            self._show_current()
            self._tell()

    def _show_current(self) -> None:
        known = self._current in self._ids
        self._box.currentIndex = self._ids.index(self._current) if known else -1

    def _tell(self) -> None:
        node = self.currentNode()
        self.currentNodeChanged(node)
        self._tell_whether(node is not None)
        self.currentNodeIDChanged(self._current or "")

    def _tell_whether(self, there: bool) -> None:
        signal = QtCore.QObject.__getattribute__(self, "currentNodeChanged")
        signal[bool].emit(there)


STAND_INS = {"qMRMLWidget": qMRMLWidget, "qMRMLNodeComboBox": qMRMLNodeComboBox}
