"""``slicer.app.layoutManager()``: Slicer's layout logic makes the nodes, this the widgets."""

# ruff: noqa: N801, N802, N815

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from Testing.SlicerHost.views import qMRMLSliceWidget, qMRMLThreeDWidget
from Testing.SlicerHost.widgets import base, stand_in


@stand_in
class qMRMLLayoutManager(base(QtWidgets.QWidget)):  # type: ignore[misc]
    """Shows the views that the layout node asks for; a layout's XML is read as Slicer does."""

    layoutChanged = QtCore.Signal(int)
    tableViewCount = QtCore.Property(int, lambda _self: 0)
    plotViewCount = QtCore.Property(int, lambda _self: 0)

    def __init__(self, application_logic: Any) -> None:
        super().__init__()
        self._application_logic = application_logic
        self._paused = 0
        self._slices: dict[str, Any] = {}
        self._three_d: dict[str, Any] = {}
        self._frame: Any = None
        QtWidgets.QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)
        expanding = QtWidgets.QSizePolicy.Policy.Expanding
        self.setSizePolicy(expanding, expanding)
        self._slice_logics = vtk.vtkCollection()
        self._view_logics = vtk.vtkCollection()
        application_logic.SetSliceLogics(self._slice_logics)
        application_logic.SetViewLogics(self._view_logics)
        self._before = {node.GetID() for node in _nodes()}
        self._links = slicer.vtkMRMLSliceLinkLogic()
        self._logic = slicer.vtkMRMLLayoutLogic()
        for logic in (self._links, self._logic):
            logic.SetMRMLApplicationLogic(application_logic)
            logic.SetMRMLScene(slicer.mrmlScene)
        self._layout = self._logic.GetLayoutNode()
        self._tag = self._layout.AddObserver(vtk.vtkCommand.ModifiedEvent, self._modified)
        self._shown = -1
        self._layout.SetViewArrangement(self._layout.SlicerLayoutFourUpView)

    def layoutLogic(self) -> Any:
        return self._logic

    def _set_layout(self, identifier: int) -> None:
        self._layout.SetViewArrangement(identifier)

    layout = QtCore.Property(int, lambda self: self._layout.GetViewArrangement(), _set_layout)

    def setLayout(self, identifier: int) -> None:
        self._layout.SetViewArrangement(identifier)

    def sliceViewNames(self) -> tuple[str, ...]:
        """Of every slice view that was made, also those that this layout does not show."""
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> Any:
        return self._slices.get(name)

    threeDViewCount = QtCore.Property(int, lambda self: len(self._three_d))

    def threeDWidget(self, which: int | str) -> Any:
        if isinstance(which, str):
            return self._three_d.get(which)
        every = list(self._three_d.values())
        return every[which] if 0 <= which < len(every) else None

    def mrmlSliceLogics(self) -> Any:
        return self._slice_logics

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for widget in self._three_d.values():
            widget.threeDView().resetFocalPoint()

    def viewport(self) -> Any:
        return self

    def pause(self, by: int) -> None:
        self._paused += by

    def visible_views(self) -> list[Any]:
        """The views that can be seen, slices first; for the host."""
        every = [*self._slices.values(), *self._three_d.values()]
        return [widget._view for widget in every if QtWidgets.QWidget.isVisible(widget)]

    def close_down(self) -> None:
        """Leave the scene as it was before there were views."""
        self._layout.RemoveObserver(self._tag)
        for widget in [*self._slices.values(), *self._three_d.values()]:
            widget._view.close_down()
        for index in range(self._slice_logics.GetNumberOfItems()):
            self._slice_logics.GetItemAsObject(index).SetMRMLScene(None)
        for logic in (self._links, self._logic):
            logic.SetMRMLScene(None)
        self._application_logic.SetSliceLogics(vtk.vtkCollection())
        self._application_logic.SetViewLogics(vtk.vtkCollection())
        for node in [node for node in _nodes() if node.GetID() not in self._before]:
            slicer.mrmlScene.RemoveNode(node)

    def _modified(self, *_event: Any) -> None:
        arrangement = self._layout.GetViewArrangement()
        root = self._layout.GetLayoutRootElement()
        if root is None or arrangement == self._shown:
            return
        self._shown = arrangement
        self._show(root)
        self.layoutChanged(arrangement)

    def _show(self, root: Any) -> None:
        kept = [*self._slices.values(), *self._three_d.values()]
        for widget in kept:
            widget.setParent(None)
        old, self._frame = self._frame, self._build(root)
        QtWidgets.QWidget.layout(self).addWidget(self._frame)
        for widget in self._frame.findChildren(QtWidgets.QFrame):
            if widget in self._slices.values() or widget in self._three_d.values():
                widget.setVisible(True)
        self._frame.setVisible(True)
        if old is not None:
            old.delete()

    def _build(self, element: Any) -> Any:
        """The widget of a layout element: rows and columns, or a view."""
        if element.GetName() == "view":
            return self._view(self._logic.GetViewFromElement(element))
        upright = element.GetAttribute("type") == "vertical"
        orientation = QtCore.Qt.Orientation
        splitter = base(QtWidgets.QSplitter)(
            orientation.Vertical if upright else orientation.Horizontal
        )
        splitter.setChildrenCollapsible(False)
        for index in range(element.GetNumberOfNestedElements()):
            item = element.GetNestedElement(index)
            splitter.addWidget(self._build(item.GetNestedElement(0)))
        splitter.setSizes([1000] * splitter.count())
        return splitter

    def _view(self, node: Any) -> Any:
        name = node.GetLayoutName()
        if node.IsA("vtkMRMLSliceNode"):
            if name not in self._slices:
                self._slices[name] = qMRMLSliceWidget(self._slice_logic(node))
            return self._slices[name]
        if node.IsA("vtkMRMLViewNode"):
            if name not in self._three_d:
                self._three_d[name] = qMRMLThreeDWidget(node)
            return self._three_d[name]
        # Tables and plots: an empty place.
        return base(QtWidgets.QWidget)()

    def _slice_logic(self, node: Any) -> Any:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._application_logic)
        logic.SetMRMLScene(slicer.mrmlScene)
        logic.SetSliceNode(node)
        self._slice_logics.AddItem(logic)
        return logic


def _nodes() -> list[Any]:
    scene = slicer.mrmlScene
    return [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
