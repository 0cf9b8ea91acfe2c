"""Pictures of the scene without a screen, drawn by Slicer's own displayable managers.

Each call opens a window in memory, shows the volume and the segmentations that it was
given and no others, and puts the scene back as it was.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import slicer
import vtk
from numpy.typing import ArrayLike
from vtkmodules.util.numpy_support import vtk_to_numpy

from KDSegmentationLogic.errors import DependencyError

Orientation = Literal["Axial", "Coronal", "Sagittal"]

_BACKGROUND = (0.07, 0.07, 0.08)

_SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
)
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)


@dataclass(frozen=True)
class Shown:
    """A segmentation and how a picture shows it; opacities are 0 to 1, thickness pixels."""

    node: slicer.vtkMRMLSegmentationNode
    fill: float = 0.0
    outline: float = 1.0
    thickness: int = 2
    surface: float = 1.0


def can_render() -> tuple[bool, str]:
    """Whether pictures can be drawn here, and if not, why.

    Without OpenGL, VTK does not fail, it ends the process; so this must be asked first.
    Windows and macOS bring OpenGL along.
    """
    if not sys.platform.startswith("linux") or _window_class() is not None:
        return True, ""
    return False, "No OpenGL was found: install libegl1 and libegl-mesa0, or libosmesa6."


def render_slice(
    volume: slicer.vtkMRMLScalarVolumeNode,
    shown: Sequence[Shown],
    centre: ArrayLike,
    orientation: Orientation,
    width: float,
    size: tuple[int, int] = (480, 480),
) -> np.ndarray:
    """One slice as Slicer shows it: RGB [y, x, 3] of uint8, row 0 at the top.

    ``centre`` is world RAS mm, ``width`` the mm from the left to the right edge, ``size``
    the pixels (x, y). Patient left is on the right-hand side of axial and coronal slices.

    Raises
    ------
    DependencyError : there is no OpenGL.
    """
    with _view("slice", size, _SLICE_MANAGERS) as view, _only(shown), _nothing_left():
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        logic.SetMRMLScene(slicer.mrmlScene)
        node = logic.AddSliceNode("KDSegmentationPicture")
        try:
            logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
            node.SetOrientation(orientation)
            logic.ResizeSliceNode(*size)
            node.SetFieldOfView(width, width * size[1] / size[0], 1.0)
            node.JumpSliceByCentering(*np.asarray(centre, float))
            # Before the managers add theirs: actors are drawn in the order of their coming.
            view.add_image(logic.GetImageDataConnection())
            view.connect(node)
            return view.picture()
        finally:
            view.disconnect()
            logic.SetMRMLScene(None)


def render_3d(
    shown: Sequence[Shown],
    centre: ArrayLike,
    width: float,
    direction: ArrayLike = (-0.75, 0.5, 0.45),
    size: tuple[int, int] = (480, 480),
) -> np.ndarray:
    """The segments' surfaces: RGB [y, x, 3] of uint8, row 0 at the top.

    ``centre`` is world RAS mm; the eye looks at it from ``direction`` (RAS), superior up,
    in parallel projection ``width`` mm wide, so that two pictures can be compared.

    Raises
    ------
    DependencyError : there is no OpenGL.
    """
    # Drawn at twice the size, since edges are not smoothed otherwise.
    twice = (2 * size[0], 2 * size[1])
    made = surfaces(look.node for look in shown)
    with _view("3d", twice, _THREE_D_MANAGERS) as view, _only(shown), made, _nothing_left():
        logic = slicer.vtkMRMLViewLogic()
        logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        logic.SetMRMLScene(slicer.mrmlScene)
        node = logic.AddViewNode("KDSegmentationPicture")
        try:
            node.SetBoxVisible(False)
            node.SetAxisLabelsVisible(False)
            node.SetBackgroundColor(_BACKGROUND)
            node.SetBackgroundColor2(_BACKGROUND)
            view.connect(node)
            view.look(np.asarray(centre, float), np.asarray(direction, float), width)
            return _halved(view.picture())
        finally:
            view.disconnect()
            logic.SetMRMLScene(None)


@contextlib.contextmanager
def surfaces(nodes: Iterable[slicer.vtkMRMLSegmentationNode]) -> Iterator[None]:
    """Give segmentations surfaces, and take away those that were not there before.

    Several pictures of the same segmentations are drawn faster inside one such block.
    """
    name = slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName()
    bare = [node for node in nodes if not node.GetSegmentation().ContainsRepresentation(name)]
    for node in bare:
        node.CreateClosedSurfaceRepresentation()
    try:
        yield
    finally:
        for node in bare:
            node.RemoveClosedSurfaceRepresentation()


class _View:
    """A window in memory with one renderer, filled by a group of displayable managers."""

    def __init__(
        self,
        factory: slicer.vtkMRMLDisplayableManagerFactory,
        managers: Sequence[str],
        size: tuple[int, int],
    ) -> None:
        self.renderer = vtk.vtkRenderer()
        self.renderer.SetBackground(_BACKGROUND)
        self.renderer.SetUseDepthPeeling(True)
        self.window = (_window_class() or vtk.vtkRenderWindow)()
        self.window.SetOffScreenRendering(1)
        # With more, see-through surfaces (drawn by depth peeling) vanish on Mesa.
        self.window.SetMultiSamples(0)
        self.window.SetAlphaBitPlanes(1)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.factory = factory
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)

    def add_image(self, connection: vtk.vtkAlgorithmOutput) -> None:
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(connection)
        actor = vtk.vtkActor2D()
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.renderer.AddViewProp(actor)

    def connect(self, node: slicer.vtkMRMLAbstractViewNode) -> None:
        self.group.Initialize(self.factory, self.renderer)
        self.group.SetMRMLDisplayableNode(node)

    def disconnect(self) -> None:
        self.group.SetMRMLDisplayableNode(None)

    def look(self, centre: np.ndarray, direction: np.ndarray, width: float) -> None:
        camera = self.renderer.GetActiveCamera()
        camera.ParallelProjectionOn()
        camera.SetFocalPoint(centre)
        camera.SetPosition(centre + direction / np.linalg.norm(direction) * 4 * width)
        camera.SetViewUp(0, 0, 1)
        x, y = self.window.GetSize()
        camera.SetParallelScale(width * y / x / 2)
        self.renderer.ResetCameraClippingRange()

    def picture(self) -> np.ndarray:
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.ShouldRerenderOff()
        grab.Update()
        data = grab.GetOutput()
        width, height, _ = data.GetDimensions()
        pixels = vtk_to_numpy(data.GetPointData().GetScalars()).reshape(height, width, -1)
        return np.ascontiguousarray(pixels[::-1, :, :3])


@contextlib.contextmanager
def _view(kind: str, size: tuple[int, int], managers: Sequence[str]) -> Iterator[_View]:
    possible, reason = can_render()
    if not possible:
        raise DependencyError(reason, "Or go on without pictures.")
    factories = {
        "slice": slicer.vtkMRMLSliceViewDisplayableManagerFactory,
        "3d": slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
    }
    view = _View(factories[kind].GetInstance(), managers, size)
    try:
        yield view
    finally:
        view.window.Finalize()


@contextlib.contextmanager
def _only(shown: Sequence[Shown]) -> Iterator[None]:
    """Show these segmentations in their looks, hide all others, and put all back."""
    looks = {look.node.GetID(): look for look in shown}
    for look in shown:
        look.node.CreateDefaultDisplayNodes()
    kept = []
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        display = node.GetDisplayNode()
        if display is None:
            continue
        before = slicer.vtkMRMLSegmentationDisplayNode()
        before.CopyContent(display)
        kept.append((display, before))
        _dress(display, looks.get(node.GetID()))
    try:
        yield
    finally:
        for display, before in kept:
            display.CopyContent(before)


def _dress(display: slicer.vtkMRMLSegmentationDisplayNode, look: Shown | None) -> None:
    display.SetVisibility(look is not None)
    if look is None:
        return
    display.SetAllSegmentsVisibility(True)
    display.SetOpacity(1.0)
    display.SetVisibility2DFill(look.fill > 0)
    display.SetVisibility2DOutline(look.outline > 0)
    display.SetVisibility3D(look.surface > 0)
    display.SetOpacity2DFill(look.fill)
    display.SetOpacity2DOutline(look.outline)
    display.SetOpacity3D(look.surface)
    display.SetSliceIntersectionThickness(look.thickness)


@contextlib.contextmanager
def _nothing_left() -> Iterator[None]:
    """Remove the nodes of the view: logics and managers add several and remove none."""
    scene = slicer.mrmlScene
    before = {node.GetID() for node in _nodes(scene)}
    try:
        yield
    finally:
        for node in [node for node in _nodes(scene) if node.GetID() not in before]:
            scene.RemoveNode(node)


def _nodes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLNode]:
    return [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]


def _halved(picture: np.ndarray) -> np.ndarray:
    height, width, channels = picture.shape
    blocks = picture.reshape(height // 2, 2, width // 2, 2, channels)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def _window_class() -> type | None:
    """The class of window that needs no screen, on Linux; none where its library is missing.

    Named outright, since VTK else looks for an X server first and complains of having none.
    """
    if not sys.platform.startswith("linux"):
        return None
    from vtkmodules import vtkRenderingOpenGL2 as opengl

    if _egl_has_a_device() and hasattr(opengl, "vtkEGLRenderWindow"):
        return opengl.vtkEGLRenderWindow
    if _loads("libOSMesa.so.8") and hasattr(opengl, "vtkOSOpenGLRenderWindow"):
        return opengl.vtkOSOpenGLRenderWindow
    if os.environ.get("DISPLAY"):
        return vtk.vtkRenderWindow
    return None


def _egl_has_a_device() -> bool:
    """The library alone is not enough: it finds its drivers only when asked."""
    if not _loads("libEGL.so.1"):
        return False
    egl = ctypes.CDLL("libEGL.so.1")
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    egl.eglGetProcAddress.argtypes = [ctypes.c_char_p]
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return False
    query = ctypes.CFUNCTYPE(
        ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)
    )(address)
    count = ctypes.c_int(0)
    return bool(query(0, None, ctypes.byref(count))) and count.value > 0


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
