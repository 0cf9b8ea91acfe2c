"""The Slicer runtime without the application: scene, module logics, ``slicer.app``.

Inside 3D Slicer all this exists and ``start`` does nothing. Outside, with the wheel
``slicer-core``, ``slicer.util`` and the code of this layer expect a few names that only the
application sets; ``start`` sets them over the real MRML classes. There is no Qt: no
windows, no message boxes, no plugins of the subject hierarchy.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from types import SimpleNamespace

import slicer
import vtk

# A module is asked for by its lower-case name; its logic is known to others by the class.
_LOGICS = {
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Data": "vtkSlicerDataModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Markups": "vtkSlicerMarkupsLogic",
}


class HeadlessApplication:
    """What scripts ask of ``slicer.app`` and what makes sense without a window."""

    temporaryPath: str  # noqa: N815 (Slicer's name)

    def __init__(self, logic: slicer.vtkSlicerApplicationLogic, folder: str) -> None:
        self._logic = logic
        self.temporaryPath = folder

    def applicationLogic(self) -> slicer.vtkSlicerApplicationLogic:  # noqa: N802
        return self._logic

    def pauseRender(self) -> None:  # noqa: N802
        """Nothing renders by itself here."""

    def resumeRender(self) -> None:  # noqa: N802
        """Nothing renders by itself here."""

    def processEvents(self) -> None:  # noqa: N802
        """There is no event loop here."""

    def testingEnabled(self) -> bool:  # noqa: N802
        """Whether questions must answer themselves: always, since nobody can be asked."""
        return True


def start() -> None:
    """Make ``slicer.mrmlScene``, ``slicer.modules.*.logic()`` and ``slicer.app`` usable.

    Idempotent; leaves the real application, or another host that was there first, alone.
    """
    if getattr(slicer, "app", None) is not None:
        return
    folder = tempfile.TemporaryDirectory(prefix="kdseg-scene-", ignore_cleanup_errors=True)
    scene = slicer.vtkMRMLScene()
    with _quiet():
        logic = _application_logic(scene, folder.name)
        modules = _modules(scene, logic)
    slicer.mrmlScene = scene
    slicer.modules = modules
    slicer.app = HeadlessApplication(logic, folder.name)
    slicer.app.folder = folder  # removed with the process


def _application_logic(scene: slicer.vtkMRMLScene, folder: str) -> slicer.vtkSlicerApplicationLogic:
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetTemporaryPath(folder)
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(folder)
    cache.SetMRMLScene(scene)
    scene.SetCacheManager(cache)
    data = slicer.vtkDataIOManager()
    data.SetCacheManager(cache)
    scene.SetDataIOManager(data)
    logic.SetMRMLScene(scene)
    logic.GetColorLogic().SetMRMLScene(scene)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    for factory in (
        slicer.vtkMRMLSliceViewDisplayableManagerFactory,
        slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
    ):
        factory.GetInstance().SetMRMLApplicationLogic(logic)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    return logic


def _modules(
    scene: slicer.vtkMRMLScene, application: slicer.vtkSlicerApplicationLogic
) -> SimpleNamespace:
    modules = SimpleNamespace()
    for name, class_name in _LOGICS.items():
        logic = getattr(slicer, class_name)()
        # The application before the scene: node classes register when the scene is met.
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        application.SetModuleLogic(name, logic)
        setattr(modules, name.lower(), SimpleNamespace(logic=lambda logic=logic: logic))
    colours = application.GetColorLogic()
    colours.AddDefaultColorNodes()
    modules.colors = SimpleNamespace(logic=lambda: colours)
    return modules


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without VTK's warnings: the wheel has no share data, and everything works without."""
    shown = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtk.vtkObject.SetGlobalWarningDisplay(shown)
