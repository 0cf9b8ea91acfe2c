"""Slice and 3-D views: pictures drawn by VTK, with Slicer's own interaction behind them.

A view draws when ``forceRender`` or a grabbed picture asks for it, not after each change of
the scene: tests change the scene often and look at it seldom. Mouse and keys go through
VTK's interactor to Slicer's interactor style and displayable managers, so that a click in
place mode puts the control point where Slicer would.
"""

# ruff: noqa: N801, N802, N815

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from KDSegmentationLogic.scene import rendering
from Testing.SlicerHost.widgets import base, stand_in

_MARKUPS = "vtkMRMLMarkupsDisplayableManager"
_CROSSHAIR = "vtkMRMLCrosshairDisplayableManager"  # scrolls the slices, too
_SLICE = (*rendering._SLICE_MANAGERS, _MARKUPS, _CROSSHAIR)
_THREE_D = (*rendering._THREE_D_MANAGERS, _MARKUPS)
_BUTTONS = {
    QtCore.Qt.MouseButton.LeftButton: "LeftButton",
    QtCore.Qt.MouseButton.MiddleButton: "MiddleButton",
    QtCore.Qt.MouseButton.RightButton: "RightButton",
}


class _View(base(QtWidgets.QWidget)):  # type: ignore[misc]
    """A picture of the scene that passes what the mouse does on to VTK."""

    stand_in = True

    def __init__(
        self, factory: Any, managers: tuple[str, ...], style: Any, node: Any, image: Any = None
    ) -> None:
        super().__init__()
        self._node = node
        self._vtk = rendering._View(factory, managers, (300, 300))
        self._style = style
        self._picture = QtGui.QImage()
        if image is not None:  # before the managers' actors: they are drawn in this order
            self._vtk.renderer.AddViewProp(image)
            self._vtk.renderer.GetActiveCamera().ParallelProjectionOn()
        self._vtk.connect(node)
        self._vtk.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        style.SetInteractor(self._vtk.interactor)
        style.SetDisplayableManagers(self._vtk.group)
        self.setMinimumSize(80, 80)
        self.setMouseTracking(True)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)

    def interactor(self) -> Any:
        return self._vtk.interactor

    def interactorStyle(self) -> Any:
        return self._style

    def renderWindow(self) -> Any:
        return self._vtk.window

    def renderer(self) -> Any:
        return self._vtk.renderer

    def scheduleRender(self) -> None:
        """Nothing is drawn before a picture is asked for."""

    def forceRender(self) -> None:
        pixels = np.ascontiguousarray(self._vtk.picture())
        height, width, _ = pixels.shape
        kind = QtGui.QImage.Format.Format_RGB888
        self._picture = QtGui.QImage(pixels.tobytes(), width, height, 3 * width, kind).copy()
        self.update()

    def close_down(self) -> None:
        """Let go of the scene and of the window in memory."""
        self._style.SetInteractor(None)
        self._vtk.disconnect()
        self._vtk.window.Finalize()

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        if self._picture.isNull():
            painter.fillRect(QtWidgets.QWidget.rect(self), QtGui.QColor("black"))
        else:
            painter.drawImage(0, 0, self._picture)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        width, height = event.size().width(), event.size().height()
        self._vtk.window.SetSize(width, height)
        self._vtk.interactor.SetSize(width, height)
        self._resized(width, height)

    def _resized(self, width: int, height: int) -> None:
        """Tell the scene of the new size."""

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        self._tell(event, "MouseMoveEvent")

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        self._tell(event, f"{_BUTTONS[event.button()]}PressEvent")

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        self._tell(event, f"{_BUTTONS[event.button()]}ReleaseEvent")

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        forward = event.angleDelta().y() > 0
        self._tell(event, "MouseWheelForwardEvent" if forward else "MouseWheelBackwardEvent")

    def enterEvent(self, event: QtGui.QEnterEvent) -> None:
        self._tell(event, "EnterEvent")

    def leaveEvent(self, _event: QtCore.QEvent) -> None:
        self._vtk.interactor.InvokeEvent("LeaveEvent")

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        key = QtGui.QKeySequence(event.key()).toString(
            QtGui.QKeySequence.SequenceFormat.PortableText
        )
        self._vtk.interactor.SetKeySym(key if len(key) > 1 else key.lower())
        self._vtk.interactor.SetKeyCode(event.text()[:1] or "\0")
        self._vtk.interactor.InvokeEvent("KeyPressEvent")
        self._vtk.interactor.InvokeEvent("CharEvent")

    def _tell(self, event: Any, what: str) -> None:
        keys = event.modifiers()
        control = bool(keys & QtCore.Qt.KeyboardModifier.ControlModifier)
        shift = bool(keys & QtCore.Qt.KeyboardModifier.ShiftModifier)
        point = event.position()
        height = QtWidgets.QWidget.size(self).height()
        # VTK counts rows from the bottom.
        x, y = int(point.x()), height - 1 - int(point.y())
        self._vtk.interactor.SetEventInformation(x, y, control, shift, "\0", 0, None)
        self._vtk.interactor.InvokeEvent(what)


@stand_in
class qMRMLSliceView(_View):
    def __init__(self, logic: Any) -> None:
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        style = slicer.vtkMRMLSliceViewInteractorStyle()
        style.SetSliceLogic(logic)
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        image = vtk.vtkActor2D()
        image.SetMapper(mapper)
        image.GetProperty().SetDisplayLocationToBackground()
        image.VisibilityOff()
        super().__init__(factory, _SLICE, style, logic.GetSliceNode(), image)
        self._logic = logic
        self._image = image
        self._tag = logic.AddObserver(vtk.vtkCommand.ModifiedEvent, self._connect_image)
        self._connect_image()

    def _connect_image(self, *_event: Any) -> None:
        """The logic has an image only while a volume is shown."""
        connection = self._logic.GetImageDataConnection()
        self._image.GetMapper().SetInputConnection(connection)
        self._image.SetVisibility(connection is not None)

    def close_down(self) -> None:
        self._logic.RemoveObserver(self._tag)
        super().close_down()

    def _resized(self, width: int, height: int) -> None:
        self._logic.ResizeSliceNode(width, height)

    def mrmlSliceNode(self) -> Any:
        return self._node

    def convertDeviceToXYZ(self, xy: Any) -> tuple[float, float, float]:
        return (float(xy[0]), float(xy[1]), 0.0)

    def convertXYZToRAS(self, xyz: Any) -> tuple[float, float, float]:
        return tuple(self._node.GetXYToRAS().MultiplyPoint((*xyz, 1.0))[:3])  # type: ignore[return-value]


@stand_in
class qMRMLThreeDView(_View):
    def __init__(self, node: Any) -> None:
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        super().__init__(factory, _THREE_D, slicer.vtkMRMLThreeDViewInteractorStyle(), node)

    def mrmlViewNode(self) -> Any:
        return self._node

    def resetFocalPoint(self) -> None:
        """Look at the middle of what is shown."""
        self._vtk.renderer.ResetCamera()

    resetCamera = resetFocalPoint


class _Framed(base(QtWidgets.QFrame)):  # type: ignore[misc]
    """A view under a bar with its name, as Slicer's controllers have."""

    stand_in = True

    def __init__(self, view: Any, title: str, color: tuple[float, ...]) -> None:
        super().__init__()
        self._view = view
        red, green, blue = (round(255 * part) for part in color[:3])
        self._bar = base(QtWidgets.QLabel)(f" {title}")
        self._bar.styleSheet = f"background: rgb({red},{green},{blue}); color: black"
        self._bar.setFixedHeight(16)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 1)
        column.setSpacing(0)
        column.addWidget(self._bar)
        column.addWidget(view, 1)


@stand_in
class qMRMLSliceWidget(_Framed):
    def __init__(self, logic: Any) -> None:
        node = logic.GetSliceNode()
        super().__init__(qMRMLSliceView(logic), node.GetLayoutName(), node.GetLayoutColor())
        self._logic = logic

    def sliceView(self) -> Any:
        return self._view

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceController(self) -> Any:
        return self._bar

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


@stand_in
class qMRMLThreeDWidget(_Framed):
    def __init__(self, node: Any) -> None:
        super().__init__(qMRMLThreeDView(node), node.GetLayoutName(), (0.75, 0.75, 0.9))

    def threeDView(self) -> Any:
        return self._view

    def mrmlViewNode(self) -> Any:
        return self._view.mrmlViewNode()

    def threeDController(self) -> Any:
        return self._bar
