"""What survives and what must not: saving and loading, closing, reloading, leaving."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from Testing.module.acting import BOX, centre, click_at, finish, names, pixel, segment, view

Add = Callable[..., Any]


def observers() -> int:
    """How many observers the scene and its nodes have; VTK gives no number, but a listing."""
    import slicer

    scene = slicer.mrmlScene
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    return sum(str(thing).count("vtkObserver") for thing in (scene, *nodes))


def clicks_left() -> list[Any]:
    import slicer

    return list(slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode"))


def test_everything_shown_comes_back_with_the_scene(
    host: Any, panels: Any, add_phantom: Add, tmp_path: Path
) -> None:
    from KDSegmentationLogic.scene.files import load_scene, save_scene

    add_phantom()
    host.events()
    segment(host, panels)
    host.click(panels.comparePanel.button)
    finish(host, panels)
    panels.board.change(region="roi", device="cpu", replace=True, save_as=".stl", smoothing=0.2)
    host.click(panels.regionPanel.newRoi)
    before = panels.board.state
    rows = names(panels)
    save_scene(tmp_path / "scene.mrb")
    host.close_scene()
    assert panels.board.state.result is None
    load_scene(tmp_path / "scene.mrb")
    host.events()
    after = panels.board.state
    for field in ("model", "region", "device", "replace", "save_as", "smoothing", "side_by_side"):
        assert getattr(after, field) == getattr(before, field), field
    assert panels.board.volumes()[0].GetName() == "Phantom"
    assert panels.board.node(after.roi).GetName() == panels.regionPanel.roi.currentNode().GetName()
    assert names(panels) == rows
    assert panels.comparePanel.table.rowCount == 2


def test_a_scene_that_shows_a_comparison_is_shown_so_in_the_next_session(
    host: Any, panels: Any, add_phantom: Add, tmp_path: Path
) -> None:
    import slicer

    from KDSegmentationLogic.scene.files import load_scene, save_scene
    from KDSegmentationLogic.scene.layouts import SIDE_BY_SIDE

    add_phantom()
    host.events()
    host.click(panels.comparePanel.button)
    finish(host, panels)
    save_scene(tmp_path / "scene.mrb")
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    host.close_scene()
    layout.SetLayoutDescription(SIDE_BY_SIDE, "")  # a layout that nobody has described yet
    load_scene(tmp_path / "scene.mrb")
    host.events()
    assert layout.GetViewArrangement() == SIDE_BY_SIDE
    assert "KDSegDifference" in layout.GetLayoutDescription(SIDE_BY_SIDE)


def test_a_closed_scene_leaves_empty_panels_and_no_clicks(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    volume = add_phantom()
    host.events()
    host.click(panels.regionPanel.point, at=BOX)
    host.click(panels.regionPanel.place)
    click_at(host, centre(volume))
    finish(host, panels)
    host.close_scene()
    assert not panels.clicks.active
    assert not clicks_left()
    assert panels.board.volumes() == [None]
    assert panels.resultPanel.table.rowCount == 0
    assert not panels.runPanel.button.enabled


def test_reloading_leaves_no_observer_and_no_timer(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    widget = host.reload()
    host.events()
    before = observers()
    for _ in range(3):
        widget = host.reload()
        host.events()
    gc.collect()
    assert observers() <= before
    assert not panels.runs.timer.active
    assert names(widget) == ["anterior", "posterior"]


def test_the_module_works_after_a_reload(host: Any, panels: Any, add_phantom: Add) -> None:
    add_phantom()
    host.events()
    assert panels.board is not None
    widget = host.reload()
    host.events()
    # The package was imported anew, and with it the choice to run in a worker.
    widget.logic._in_worker = False
    widget.board.change(threads=1)
    segment(host, widget)
    assert names(widget) == ["anterior", "posterior"]


def test_leaving_the_module_ends_the_mode_of_clicks(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    import slicer

    add_phantom()
    host.events()
    host.click(panels.regionPanel.point, at=BOX)
    host.click(panels.regionPanel.place)
    slicer.util.moduleSelector().selectModule("")
    assert not panels.clicks.active
    assert not clicks_left()


def test_an_idle_module_has_no_running_timer(host: Any, panels: Any, add_phantom: Add) -> None:
    add_phantom()
    host.events()
    assert not panels.runs.timer.active
    segment(host, panels)
    assert not panels.runs.timer.active


def test_the_picture_shows_the_structure_in_its_colour_where_it_is(
    host: Any, panels: Any, add_phantom: Add, tmp_path: Path
) -> None:
    """Pixels of the window, under a volume that is moved and turned by a transform."""
    import slicer
    import vtk

    volume = add_phantom(spacing=(4.0, 4.0, 4.0))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Moved")
    matrix = vtk.vtkTransform()
    matrix.Translate(30.0, -20.0, 12.0)
    matrix.RotateZ(90.0)
    transform.SetMatrixTransformToParent(matrix.GetMatrix())
    volume.SetAndObserveTransformNodeID(transform.GetID())
    host.events()
    segment(host, panels)
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    middle = tuple((bounds[n] + bounds[n + 1]) / 2 for n in (0, 2, 4))
    # Turned by 90 degrees, what lay to the patient's right lies anterior or posterior.
    places = [(middle[0], middle[1] + shift, middle[2]) for shift in (-12.0, 12.0)]
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    red = view()
    red.mrmlSliceNode().JumpSliceByCentering(*middle)
    host.events()
    red.forceRender()
    image = host.grab(tmp_path / "red.png", red)
    seen = [image.pixelColor(*pixel(red, place)) for place in places]
    reds = sorted(colour.red() - colour.blue() for colour in seen)
    assert reds[0] < -30, "one part is blue"
    assert reds[1] > 30, "the other is red"
    assert np.isfinite(reds).all()
