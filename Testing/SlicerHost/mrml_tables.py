"""The qMRML tables and the Segment Editor's widget: as much as a module hands over to them."""

# ruff: noqa: N801, N802, N815

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from Testing.SlicerHost.properties import unwrap
from Testing.SlicerHost.widgets import base, inside, stand_in, stored, weakly

_CHECKED, _UNCHECKED = QtCore.Qt.CheckState.Checked, QtCore.Qt.CheckState.Unchecked


class _Watched:
    """The one node that a widget shows; shown again after each of some of its events."""

    def __init__(self, shown: Any, events: tuple[int, ...]) -> None:
        self._shown = shown
        self._events = events
        self.node: Any = None
        self._tags: list[int] = []

    def set(self, node: Any) -> None:
        self.forget()
        self.node = node
        if node is not None:
            self._tags = [node.AddObserver(event, weakly(self._changed)) for event in self._events]
        self._shown()

    def forget(self, *_ignored: Any) -> None:
        for tag in self._tags:
            self.node.RemoveObserver(tag)
        self._tags = []

    def _changed(self, *_event: Any) -> None:
        self._shown()


@stand_in
class qMRMLTableView(base(QtWidgets.QTableView)):  # type: ignore[misc]
    """Shows a table node."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._model = QtGui.QStandardItemModel(self)
        QtWidgets.QTableView.setModel(self, self._model)
        self._watched = _Watched(self._look, (vtk.vtkCommand.ModifiedEvent,))
        QtCore.QObject.connect(self, "2destroyed()", self._watched.forget)

    def setMRMLTableNode(self, node: Any) -> None:
        self._watched.set(node)

    def mrmlTableNode(self) -> Any:
        return self._watched.node

    def _look(self) -> None:
        self._model.clear()
        table = self._watched.node.GetTable() if self._watched.node is not None else None
        if table is None:
            return
        columns = [table.GetColumn(n) for n in range(table.GetNumberOfColumns())]
        self._model.setHorizontalHeaderLabels([column.GetName() or "" for column in columns])
        for row in range(table.GetNumberOfRows()):
            texts = (column.GetVariantValue(row).ToString() for column in columns)
            self._model.appendRow([QtGui.QStandardItem(text) for text in texts])


@stand_in
class qMRMLSegmentsTableView(base(QtWidgets.QWidget)):  # type: ignore[misc]
    """Visibility, colour and name of each segment; the visibility can be ticked."""

    selectionChanged = QtCore.Signal(QtCore.QItemSelection, QtCore.QItemSelection)
    readOnly = stored(bool, False)
    headerVisible = stored(bool, True)
    visibilityColumnVisible = stored(bool, True)
    colorColumnVisible = stored(bool, True)
    opacityColumnVisible = stored(bool, True)
    statusColumnVisible = stored(bool, False)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._table = base(QtWidgets.QTableWidget)(0, 2, self)
        self._table.setHorizontalHeaderLabels(["Name", "Color"])
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        QtWidgets.QVBoxLayout(self).addWidget(self._table)
        inside(self._table, "itemChanged(QTableWidgetItem*)", self._ticked)
        selected = "selectionChanged(QItemSelection,QItemSelection)"
        inside(unwrap(self._table.selectionModel()), selected, self._selected)
        self._ids: list[str] = []
        segmentation = slicer.vtkSegmentation
        events = (
            segmentation.SegmentAdded,
            segmentation.SegmentRemoved,
            segmentation.SegmentModified,
            slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent,
        )
        self._watched = _Watched(self._look, events)
        QtCore.QObject.connect(self, "2destroyed()", self._watched.forget)

    def setSegmentationNode(self, node: Any) -> None:
        self._watched.set(node)

    def segmentationNode(self) -> Any:
        return self._watched.node

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        return tuple(self._ids[row] for row in rows)

    def setSelectedSegmentIDs(self, identifiers: Any) -> None:
        self._table.clearSelection()
        for identifier in identifiers:
            self._table.selectRow(self._ids.index(identifier))

    def segmentCount(self) -> int:
        return len(self._ids)

    def _selected(self, now: Any, before: Any) -> None:
        self.selectionChanged(now, before)

    def _look(self) -> None:
        node = self._watched.node
        segmentation = node.GetSegmentation() if node is not None else None
        self._ids = list(segmentation.GetSegmentIDs()) if segmentation is not None else []
        blocked = self._table.blockSignals(True)
        self._table.setRowCount(len(self._ids))
        for row, identifier in enumerate(self._ids):
            segment = segmentation.GetSegment(identifier)
            display = node.GetDisplayNode()
            shown = display is None or display.GetSegmentVisibility(identifier)
            name = QtWidgets.QTableWidgetItem(segment.GetName())
            name.setCheckState(_CHECKED if shown else _UNCHECKED)
            color = QtWidgets.QTableWidgetItem()
            color.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            self._table.setItem(row, 0, name)
            self._table.setItem(row, 1, color)
        self._table.blockSignals(blocked)

    def _ticked(self, item: Any) -> None:
        display = self._watched.node.GetDisplayNode()
        if item.column() == 0 and display is not None:
            identifier = self._ids[item.row()]
            display.SetSegmentVisibility(identifier, item.checkState() == _CHECKED)


@stand_in
class qMRMLSegmentEditorWidget(base(QtWidgets.QWidget)):  # type: ignore[misc]
    """Remembers which segmentation and volume it was given."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._ids: dict[str, str] = {}

    def _set(self, what: str, node: Any) -> None:
        self._ids[what] = node.GetID() if node is not None else ""

    def _get(self, what: str) -> Any:
        return slicer.mrmlScene.GetNodeByID(self._ids.get(what, ""))

    def setSegmentationNode(self, node: Any) -> None:
        self._set("segmentation", node)

    def segmentationNode(self) -> Any:
        return self._get("segmentation")

    def setSourceVolumeNode(self, node: Any) -> None:
        self._set("volume", node)

    def sourceVolumeNode(self) -> Any:
        return self._get("volume")


_KINDS = (qMRMLTableView, qMRMLSegmentsTableView, qMRMLSegmentEditorWidget)
STAND_INS = {kind.__name__: kind for kind in _KINDS}
