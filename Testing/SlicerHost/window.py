"""The main window: the module panel on the left, the views on the right."""

# ruff: noqa: N802, N801, N815

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from Testing.SlicerHost.widgets import base, stand_in


@stand_in
class qSlicerModuleSelectorToolBar(base(QtWidgets.QToolBar)):  # type: ignore[misc]
    """Knows which module is open; there is no menu here."""

    moduleSelected = QtCore.Signal(str)

    def __init__(self, manager: Any, panel: Any) -> None:
        super().__init__()
        self._manager = manager
        self._panel = panel
        self._selected = ""

    def _module_name(self) -> str:
        return self._selected

    selectedModule = QtCore.Property(str, _module_name)

    def selectModule(self, name: str) -> None:
        """Leave the open module and enter this one; an empty name opens none."""
        if name and self._manager.module(name) is None:
            raise RuntimeError(f"There is no module {name}")
        if name == self._selected:
            return
        if self._selected:
            self._panel.takeWidget()
            self._manager.module(self._selected).widgetRepresentation().exit()
        self._selected = name
        if name:
            widget = self._manager.module(name).widgetRepresentation()
            self._panel.setWidget(widget)
            widget.show()
            widget.enter()
        self.moduleSelected(name)


@stand_in
class qSlicerMainWindow(base(QtWidgets.QMainWindow)):  # type: ignore[misc]
    def __init__(self, manager: Any, views: Any) -> None:
        super().__init__()
        self.objectName = "qSlicerMainWindow"
        self.windowTitle = "3D Slicer (test double)"
        panel = base(QtWidgets.QScrollArea)()
        panel.objectName = "ModulePanel"
        panel.widgetResizable = True
        panel.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        dock = base(QtWidgets.QDockWidget)("Module", self)
        dock.objectName = "PanelDockWidget"
        dock.setWidget(panel)
        self.addDockWidget(QtCore.Qt.DockWidgetArea.LeftDockWidgetArea, dock)
        self._dock = dock
        self._panel = panel
        self._selector = qSlicerModuleSelectorToolBar(manager, panel)
        self.setCentralWidget(views)

    def arrange(self, panel_width: int) -> None:
        """Give the module panel this width and the views the rest; the window is visible."""
        self.resizeDocks([self._dock], [panel_width], QtCore.Qt.Orientation.Horizontal)

    def show_in_panel(self, widget: Any) -> None:
        """Scroll the module panel to a widget, if it is in there."""
        if QtWidgets.QWidget.isAncestorOf(self._panel, widget):
            self._panel.ensureWidgetVisible(widget)

    def moduleSelector(self) -> Any:
        return self._selector
