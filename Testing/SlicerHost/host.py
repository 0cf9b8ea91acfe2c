"""Starting and ending the host, and a person's hands: clicks, keys, waiting, pictures."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import shiboken6
import slicer
import slicer.util
import vtk
from PySide6 import QtCore, QtGui, QtTest, QtWidgets

from KDSegmentationLogic.scene import headless
from Testing.SlicerHost import (
    ctk,
    dialogs,
    mrml_tables,
    mrml_widgets,
    packages,
    scripted,
    signals,
    views,
)
from Testing.SlicerHost.application import qSlicerApplication
from Testing.SlicerHost.layout import qMRMLLayoutManager
from Testing.SlicerHost.modules import (
    qSlicerModuleManager,
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
)
from Testing.SlicerHost.properties import unwrap
from Testing.SlicerHost.qt import module as qt
from Testing.SlicerHost.window import qSlicerMainWindow

MODULE = Path(__file__).resolve().parents[2] / "KDSegmentation" / "KDSegmentation.py"

_CLASSES = {
    "qSlicerScriptedLoadableModule": qSlicerScriptedLoadableModule,
    "qSlicerScriptedLoadableModuleWidget": qSlicerScriptedLoadableModuleWidget,
    **mrml_widgets.STAND_INS,
    **mrml_tables.STAND_INS,
    "qMRMLSliceWidget": views.qMRMLSliceWidget,
    "qMRMLThreeDWidget": views.qMRMLThreeDWidget,
}


class Host:
    """The application, for one test."""

    def __init__(self, folder: Path, packaging: bool = True, pytorch: bool = True) -> None:
        self.answers = dialogs.answers
        self.errors = signals.errors
        self.requests = packages.Requests()
        self._folder = folder
        self._modules = _python_modules(self.requests, packaging, pytorch)
        self._undo = contextlib.ExitStack()

    def start(self) -> None:
        """Put the application where a module finds it, with an empty scene."""
        _qt_application()
        headless.start()
        slicer.mrmlScene.Clear()
        self.answers.clear()
        self.errors.clear()
        self._undo.enter_context(_settings(self._folder / "settings"))
        self._undo.enter_context(_imports(self._modules))
        self._undo.enter_context(_names_in_slicer(self._modules))
        if "slicer.packaging" not in self._modules:
            old = mock.patch.object(slicer.util, "pip_install", packages.pip_install(self.requests))
            self._undo.enter_context(old)
        self._undo.enter_context(_uncaught(self.errors))
        self.application = qSlicerApplication(slicer.app, slicer.app.temporaryPath)
        slicer.app = self.application
        self.manager = self.application._module_manager = qSlicerModuleManager()
        self.views = qMRMLLayoutManager(self.application.applicationLogic())
        self.application._layout_manager = self.views
        self.window = qSlicerMainWindow(self.manager, self.views)
        self.resize(1280, 800)

    def stop(self) -> None:
        """Quit as Slicer does: modules are told, then all is gone."""
        try:
            self.window.moduleSelector().selectModule("")
            self.application.aboutToQuit()
            self.manager.unload_all()
            slicer.mrmlScene.Clear()
            self.views.close_down()
            self.window.delete()
            self.manager.delete()
            self.application.delete()
            slicer.mrmlScene.Clear()
            self.events()
        finally:
            self._undo.close()

    def resize(self, width: int, height: int, panel_width: int = 460) -> None:
        """The window's size in pixels, of which the module panel takes ``panel_width``."""
        self.window.resize(width, height)
        self.window.show()
        self.window.arrange(panel_width)
        self.events()

    def load(self, path: Path = MODULE) -> Any:
        """The description of the module in this file, after Slicer's start-up."""
        description = self.manager.load(path)
        self.application.startupCompleted()
        return description

    def open(self, path: Path = MODULE) -> Any:
        """Load the module if it is not, go to it, and give its Python widget."""
        if self.manager.module(path.stem) is None:
            self.load(path)
        slicer.util.selectModule(path.stem)
        self.events()
        return slicer.util.getModuleWidget(path.stem)

    def reload(self, path: Path = MODULE) -> Any:
        """Press the module's Reload button, in effect; gives the new Python widget."""
        slicer.util.getModuleWidget(path.stem).onReload()
        self.events()
        return slicer.util.getModuleWidget(path.stem)

    def close_scene(self) -> None:
        slicer.mrmlScene.Clear()
        self.events()

    def events(self) -> None:
        """Let Qt do all that waits to be done, deletions included."""
        QtWidgets.QApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
        QtWidgets.QApplication.processEvents()

    def wait_until(self, happened: Callable[[], Any], seconds: float = 20.0) -> None:
        """Run the event loop until ``happened()``; fails when it takes too long."""
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                raise AssertionError(f"did not happen within {seconds} s")
            QtWidgets.QApplication.processEvents(QtCore.QEventLoop.ProcessEventsFlag.AllEvents, 20)
            time.sleep(0.001)

    def click(self, widget: Any, at: tuple[int, int] | None = None, control: bool = False) -> None:
        """Press and release the left button over a widget, where a person could."""
        widget = unwrap(widget)
        self.window.show_in_panel(widget)
        assert QtWidgets.QWidget.isVisible(widget), f"{widget} cannot be seen"
        assert QtWidgets.QWidget.isEnabled(widget), f"{widget} is disabled"
        keys = QtCore.Qt.KeyboardModifier
        modifiers = keys.ControlModifier if control else keys.NoModifier
        point = QtCore.QPoint(*at) if at else QtWidgets.QWidget.rect(widget).center()
        button = QtCore.Qt.MouseButton.LeftButton
        # Qt tells of no move to where the pointer is already, be it in another window.
        QtTest.QTest.mouseMove(widget, point + QtCore.QPoint(2, 1))
        QtTest.QTest.mouseMove(widget, point)
        QtTest.QTest.mouseClick(widget, button, modifiers, point)
        self.events()

    def click_ras(
        self, ras: Sequence[float], view: str = "Red", control: bool = False, jump: bool = True
    ) -> tuple[float, float, float]:
        """Click on a place in a slice view; gives the world RAS (mm) of the pixel's centre.

        With ``jump`` the slice is scrolled there first; without, the place must be on it.
        """
        widget = self.views.sliceWidget(view)
        node = widget.mrmlSliceNode()
        if jump:
            node.JumpSliceByOffsetting(*ras)
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), inverse)
        x, y = (round(value) for value in inverse.MultiplyPoint((*ras, 1.0))[:2])
        slice_view = widget.sliceView()
        size = QtWidgets.QWidget.size(slice_view)
        at = (x, size.height() - 1 - y)
        assert 0 <= at[0] < size.width() and 0 <= at[1] < size.height(), f"{ras} is outside {view}"  # noqa: PT018
        self.click(slice_view, at, control)
        return tuple(node.GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))[:3])  # type: ignore[return-value]

    def drag(self, widget: Any, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Press the left button at one place of a widget and let it go at another."""
        widget = unwrap(widget)
        button, keys = QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier
        QtTest.QTest.mousePress(widget, button, keys, QtCore.QPoint(*start))
        for part in (0.25, 0.5, 0.75, 1.0):
            at = [round(a + part * (b - a)) for a, b in zip(start, end, strict=True)]
            QtTest.QTest.mouseMove(widget, QtCore.QPoint(*at))
        QtTest.QTest.mouseRelease(widget, button, keys, QtCore.QPoint(*end))
        self.events()

    def scroll(self, widget: Any, clicks: int) -> None:
        """Turn the mouse wheel over the middle of a widget; up is positive."""
        widget = unwrap(widget)
        here = QtCore.QPointF(QtWidgets.QWidget.rect(widget).center())
        there = QtCore.QPointF(QtWidgets.QWidget.mapToGlobal(widget, here))
        for _ in range(abs(clicks)):
            turn = QtCore.QPoint(0, 120 if clicks > 0 else -120)
            buttons, keys = QtCore.Qt.MouseButton.NoButton, QtCore.Qt.KeyboardModifier.NoModifier
            phase = QtCore.Qt.ScrollPhase.NoScrollPhase
            event = QtGui.QWheelEvent(
                here, there, QtCore.QPoint(), turn, buttons, keys, phase, False
            )
            QtWidgets.QApplication.sendEvent(widget, event)
        self.events()

    def timers(self) -> list[Any]:
        """The Qt timers that run, and that Python knows of."""
        known = (thing for thing in gc.get_objects() if issubclass(type(thing), QtCore.QTimer))
        alive = (timer for timer in known if shiboken6.isValid(timer))
        return [timer for timer in alive if QtCore.QTimer.isActive(timer)]

    def type(self, widget: Any, text: str) -> None:
        """Type on the keyboard while the widget has the focus."""
        widget = unwrap(widget)
        QtWidgets.QWidget.setFocus(widget)
        QtTest.QTest.keyClicks(widget, text)
        self.events()

    def press(self, widget: Any, key: Any) -> None:
        """Press one key, such as ``qt.Qt.Key_Escape``, over a widget."""
        QtTest.QTest.keyClick(unwrap(widget), QtCore.Qt.Key(key))
        self.events()

    def grab(self, path: Path | str, widget: Any = None) -> QtGui.QImage:
        """A picture of the window (or one widget) as it looks now, also saved as a file."""
        self.events()
        for view in self.views.visible_views():
            view.forceRender()
        picture = QtWidgets.QWidget.grab(self.window if widget is None else unwrap(widget))
        assert picture.save(str(path)), f"{path} cannot be written"
        return picture.toImage()


def _qt_application() -> None:
    if QtWidgets.QApplication.instance() is None:
        _kept.append(QtWidgets.QApplication(["Slicer"]))
        QtWidgets.QApplication.setStyle("Fusion")


_kept: list[Any] = []


def _python_modules(
    requests: packages.Requests, packaging: bool, pytorch: bool
) -> dict[str, ModuleType]:
    return {
        "qt": qt,
        "ctk": ctk,
        "slicer.ScriptedLoadableModule": scripted,
        **packages.modules(requests, packaging, pytorch),
    }


@contextlib.contextmanager
def _uncaught(errors: list[BaseException]) -> Iterator[None]:
    """Keep what VTK's observers and Qt's virtual methods raise: both only print it."""
    before = sys.excepthook

    def keep(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        errors.append(error)
        before(kind, error, trace)

    sys.excepthook = keep
    try:
        yield
    finally:
        sys.excepthook = before


@contextlib.contextmanager
def _settings(folder: Path) -> Iterator[None]:
    """An empty ``QSettings`` for this test alone."""
    settings, scope = QtCore.QSettings, QtCore.QSettings.Scope.UserScope
    settings.setDefaultFormat(settings.Format.IniFormat)
    settings.setPath(settings.Format.IniFormat, scope, str(folder))
    QtCore.QCoreApplication.setOrganizationName("NA-MIC")
    QtCore.QCoreApplication.setApplicationName("Slicer")
    yield
    settings().sync()


@contextlib.contextmanager
def _imports(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Make the host's modules importable, and afterwards put back what was there."""
    path = list(sys.path)
    hidden = {name: sys.modules[name] for name in modules if name in sys.modules}
    package = _package()
    sys.modules.update(modules)
    try:
        yield
    finally:
        sys.path[:] = path
        now = _package()
        if any(now.get(name) is not module for name, module in package.items()):
            # The test reloaded the package; others hold classes of the first import.
            for name in now:
                del sys.modules[name]
            sys.modules.update(package)
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


def _package() -> dict[str, ModuleType]:
    return {n: m for n, m in sys.modules.items() if n.split(".")[0] == "KDSegmentationLogic"}


@contextlib.contextmanager
def _names_in_slicer(modules: dict[str, ModuleType]) -> Iterator[None]:
    """The names that Slicer has beside those of slicer-core."""
    inner = {n.removeprefix("slicer."): m for n, m in modules.items() if n.startswith("slicer.")}
    added = {**_CLASSES, **inner, "selfTests": {}}
    runtime = slicer.app
    for name, value in added.items():
        setattr(slicer, name, value)
    try:
        yield
    finally:
        slicer.app = runtime
        for name in added:
            vars(slicer).pop(name, None)
