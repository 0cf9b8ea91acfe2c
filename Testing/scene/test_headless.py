"""Outside Slicer the names that scripts use are there; inside, nothing is touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import slicer

from KDSegmentationLogic.scene import headless


def python(script: str, project_root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=project_root
    )


def test_starting_twice_keeps_the_scene() -> None:
    scene, modules = slicer.mrmlScene, slicer.modules

    headless.start()

    assert slicer.mrmlScene is scene
    assert slicer.modules is modules


def test_a_host_that_was_there_first_is_left_alone(project_root: Path) -> None:
    script = """
import slicer
slicer.app = host = object()
slicer.mrmlScene = scene = slicer.vtkMRMLScene()
from KDSegmentationLogic.scene import headless
headless.start()
assert slicer.app is host and slicer.mrmlScene is scene and not hasattr(slicer, "modules")
"""
    result = python(script, project_root)

    assert result.returncode == 0, result.stderr


def test_starting_is_silent_and_the_temporary_folder_goes_with_the_process(
    project_root: Path,
) -> None:
    script = """
from KDSegmentationLogic.scene import headless
headless.start()
import slicer
print(slicer.app.temporaryPath)
"""
    result = python(script, project_root)

    assert result.stderr == ""
    assert not Path(result.stdout.strip()).exists()


def test_scripts_find_the_logics_and_the_utility_functions() -> None:
    assert slicer.modules.segmentations.logic().GetMRMLScene() is slicer.mrmlScene
    assert slicer.app.applicationLogic().GetModuleLogic("Segmentations") is not None
    with slicer.util.RenderBlocker():
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "t1")
    assert slicer.util.getNode("t1") is node
