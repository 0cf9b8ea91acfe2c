"""``slicer.app``: what a module asks of the application itself."""

# ruff: noqa: N802, N815

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from Testing.SlicerHost.properties import adopt, dialect_class
from Testing.SlicerHost.widgets import base, stand_in, stored


@stand_in
class qSlicerApplication(base(QtCore.QObject)):  # type: ignore[misc]  # noqa: N801
    """Over the Qt application of the tests and the headless runtime of the scene layer."""

    startupCompleted = QtCore.Signal()
    aboutToQuit = QtCore.Signal()

    applicationName = stored(str, "Slicer")
    applicationVersion = stored(str, "5.12.3")
    majorVersion = stored(int, 5)
    minorVersion = stored(int, 12)
    temporaryPath = stored(str, "")
    testing = stored(bool, False)

    def __init__(self, runtime: Any, folder: str) -> None:
        super().__init__()
        self._runtime = runtime
        self.temporaryPath = folder
        self._layout_manager: Any = None
        self._module_manager: Any = None

    def applicationLogic(self) -> Any:
        return self._runtime.applicationLogic()

    def mrmlScene(self) -> Any:
        import slicer

        return slicer.mrmlScene

    def layoutManager(self) -> Any:
        return self._layout_manager

    def moduleManager(self) -> Any:
        return self._module_manager

    def settings(self) -> Any:
        return dialect_class(QtCore.QSettings)()

    userSettings = revisionUserSettings = settings

    def testingEnabled(self) -> bool:
        """Whether Slicer was started to test itself: boxes then do not open. It was not."""
        return bool(QtCore.QObject.property(self, "testing"))

    def processEvents(self) -> None:
        QtWidgets.QApplication.processEvents()

    def pauseRender(self) -> None:
        self._layout_manager.pause(1)

    def resumeRender(self) -> None:
        self._layout_manager.pause(-1)

    def topLevelWidgets(self) -> tuple[Any, ...]:
        return adopt(QtWidgets.QApplication.topLevelWidgets())

    def setOverrideCursor(self, cursor: Any) -> None:
        QtWidgets.QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        QtWidgets.QApplication.restoreOverrideCursor()

    def restart(self) -> None:
        raise AssertionError("the module asks Slicer to restart")
