"""Slice views: where the mouse clicks in the patient, and what can be seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def show(volume: Any) -> None:
    import slicer

    slicer.util.setSliceViewerLayers(background=volume, fit=True)


def world(volume: Any, i: float, j: float, k: float) -> tuple[float, ...]:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return tuple(matrix.MultiplyPoint((i, j, k, 1.0))[:3])


def voxel(volume: Any, ras: Any) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(matrix)
    return np.array(matrix.MultiplyPoint((*ras, 1.0))[:3])


def place_mode(persistent: bool = False) -> Any:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "clicks")
    markups = slicer.modules.markups.logic()
    markups.SetActiveList(node)
    markups.StartPlaceMode(persistent)
    return node


def position(node: Any, index: int) -> np.ndarray:
    found = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(index, found)
    return np.array(found)


@pytest.mark.parametrize("view", ["Red", "Green", "Yellow"])
@pytest.mark.parametrize("ijk", [(25, 20, 12), (16, 11, 9)])
def test_a_click_on_an_oblique_volume_hits_its_voxel(
    host: Any, oblique: Any, view: str, ijk: tuple[int, int, int]
) -> None:
    show(oblique)
    node = place_mode()
    told = host.click_ras(world(oblique, *ijk), view)
    assert node.GetNumberOfDefinedControlPoints() == 1
    assert position(node, 0) == pytest.approx(told, abs=0.01)
    assert np.abs(voxel(oblique, position(node, 0)) - ijk).max() < 1


def test_a_click_is_in_world_coordinates_under_a_transform(host: Any, oblique: Any) -> None:
    import slicer
    import vtk

    turn = vtk.vtkTransform()
    turn.Translate(15, 4, -8)
    turn.RotateY(25)
    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    parent.SetMatrixTransformToParent(turn.GetMatrix())
    oblique.SetAndObserveTransformNodeID(parent.GetID())
    show(oblique)
    node = place_mode()
    place = turn.TransformPoint(world(oblique, 25, 20, 12))
    host.click_ras(place)
    assert position(node, 0) == pytest.approx(place, abs=2)


def test_place_mode_ends_after_one_point_unless_it_is_to_last(host: Any, oblique: Any) -> None:
    show(oblique)
    once = place_mode()
    for ijk in ((20, 20, 12), (30, 20, 12)):
        host.click_ras(world(oblique, *ijk))
    assert once.GetNumberOfDefinedControlPoints() == 1
    lasting = place_mode(persistent=True)
    for ijk in ((20, 20, 12), (30, 20, 12)):
        host.click_ras(world(oblique, *ijk))
    assert lasting.GetNumberOfDefinedControlPoints() == 2


def test_an_observer_of_the_view_sees_control_and_where(host: Any, oblique: Any) -> None:
    show(oblique)
    widget = host.views.sliceWidget("Red")
    interactor, seen = widget.sliceView().interactor(), []

    def pressed(caller: Any, _event: str) -> None:
        at = widget.mrmlSliceNode().GetXYToRAS().MultiplyPoint((*caller.GetEventPosition(), 0, 1))
        seen.append((bool(caller.GetControlKey()), at[:3]))

    tag = interactor.AddObserver("LeftButtonPressEvent", pressed, 1.0)
    plain = host.click_ras(world(oblique, 25, 20, 12))
    control = host.click_ras(world(oblique, 30, 20, 12), control=True)
    interactor.RemoveObserver(tag)
    assert seen == [(False, pytest.approx(plain)), (True, pytest.approx(control))]


def test_slicer_keeps_a_control_click_from_observers_of_no_priority(
    host: Any, oblique: Any
) -> None:
    show(oblique)
    interactor, seen = host.views.sliceWidget("Red").sliceView().interactor(), []
    tag = interactor.AddObserver("LeftButtonPressEvent", lambda *_event: seen.append(1))
    host.click_ras(world(oblique, 25, 20, 12), control=True)
    interactor.RemoveObserver(tag)
    assert not seen


def test_the_wheel_scrolls_the_slice(host: Any, oblique: Any) -> None:
    show(oblique)
    widget = host.views.sliceWidget("Red")
    before = widget.mrmlSliceNode().GetSliceOffset()
    host.scroll(widget.sliceView(), 2)
    assert widget.mrmlSliceNode().GetSliceOffset() > before


def test_linked_views_scroll_together(host: Any, oblique: Any) -> None:
    import slicer

    layout = slicer.app.layoutManager()
    layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)
    show(oblique)
    for name in ("Red", "Green"):
        node = layout.sliceWidget(name).mrmlSliceNode()
        node.SetOrientation("Axial")
        node.SetSliceOffset(80)
        layout.sliceWidget(name).mrmlSliceCompositeNode().SetLinkedControl(True)
    host.scroll(layout.sliceWidget("Red").sliceView(), 3)
    red, green = (layout.sliceWidget(n).mrmlSliceNode().GetSliceOffset() for n in ("Red", "Green"))
    assert red > 80
    assert green == pytest.approx(red)


def test_dragging_with_the_right_button_is_left_to_slicer(host: Any, oblique: Any) -> None:
    show(oblique)
    node = place_mode()
    host.drag(host.views.sliceWidget("Red").sliceView(), (60, 60), (90, 90))
    assert not host.errors
    assert node.GetNumberOfDefinedControlPoints() == 1


def test_a_layout_of_the_modules_own_is_shown(host: Any, oblique: Any) -> None:
    import slicer

    item = (
        '<item><view class="vtkMRMLSliceNode" singletontag="{0}"><property name="orientation"'
        ' action="default">Axial</property><property name="viewlabel" action="default">{0}'
        "</property></view></item>"
    )
    layout = slicer.app.layoutManager()
    node = layout.layoutLogic().GetLayoutNode()
    xml = f'<layout type="horizontal">{item.format("Student")}{item.format("Ensemble")}</layout>'
    node.AddLayoutDescription(5101, xml)
    layout.setLayout(5101)
    host.events()
    assert layout.layout == 5101
    assert [view.mrmlSliceNode().GetLayoutName() for view in layout.visible_views()] == [
        "Student",
        "Ensemble",
    ]
    show(oblique)
    points = place_mode()
    told = host.click_ras(world(oblique, 25, 20, 12), "Ensemble")
    assert position(points, 0) == pytest.approx(told, abs=0.01)
    layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert len(layout.visible_views()) == 1


def test_the_picture_shows_the_volume_and_its_segment(
    host: Any, oblique: Any, tmp_path: Any
) -> None:
    import slicer

    from KDSegmentationLogic.scene import rendering

    possible, reason = rendering.can_render()
    if not possible:
        pytest.skip(reason)
    show(oblique)
    for widget in map(host.views.sliceWidget, host.views.sliceViewNames()):
        widget.mrmlSliceNode().JumpSliceByOffsetting(*world(oblique, 25, 20, 12))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(oblique)
    segment = segmentation.GetSegmentation().AddEmptySegment("box", "box", (0.0, 1.0, 0.0))
    box = (slicer.util.arrayFromVolume(oblique) > 0).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(box, segmentation, segment, oblique)
    picture = host.grab(tmp_path / "window.png")
    view = host.views.sliceWidget("Red").sliceView()
    corner = view.mapTo(host.window, view.rect.center())
    pixel = picture.pixelColor(corner)
    assert pixel.green() > pixel.red() + 40
    outside = picture.pixelColor(corner.x() - view.rect.width() // 2 + 3, corner.y())
    assert max(outside.red(), outside.green(), outside.blue()) < 60


def test_closing_the_scene_leaves_the_views(host: Any, oblique: Any) -> None:
    show(oblique)
    host.close_scene()
    assert host.views.sliceViewNames() == ("Red", "Green", "Yellow")
    node = host.views.sliceWidget("Red").mrmlSliceNode()
    import slicer

    assert slicer.mrmlScene.GetNodeByID(node.GetID()) is node


def test_a_stopped_host_leaves_no_view_in_the_scene(tmp_path: Any) -> None:
    from Testing.SlicerHost.fixture import started

    with started(tmp_path):
        pass
    import slicer

    for kind in ("vtkMRMLSliceNode", "vtkMRMLViewNode", "vtkMRMLLayoutNode"):
        assert slicer.mrmlScene.GetNumberOfNodesByClass(kind) == 0
    assert not hasattr(slicer, "qMRMLNodeComboBox")
