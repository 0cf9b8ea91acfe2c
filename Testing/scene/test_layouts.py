"""Side by side: each result in its own view, linked, and back again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.scene import files, layouts
from KDSegmentationLogic.scene.compared import ComparisonNodes, ModelLabels, add_comparison
from KDSegmentationLogic.scene.segmentations import segmentation_from_labels
from KDSegmentationLogic.scene.volumes import volume_from_image
from Testing.making import LABELS, phantom


@pytest.fixture(autouse=True)
def layout() -> Iterator[slicer.vtkMRMLLayoutNode]:
    """The layout node of a layout logic, as the application has it."""
    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    yield logic.GetLayoutNode()
    logic.SetMRMLScene(None)


@pytest.fixture
def volume() -> slicer.vtkMRMLScalarVolumeNode:
    return volume_from_image(phantom()[0], "head")


@pytest.fixture
def nodes(volume) -> ComparisonNodes:
    labels = phantom()[1]
    other = sitk.Cast(labels > 1, sitk.sitkUInt8)
    models = tuple(ModelLabels(name, image, LABELS) for name, image in
                   (("student", labels), ("ensemble", other)))  # fmt: skip
    differ = sitk.Cast(labels != other, sitk.sitkUInt8)
    entropy = sitk.Cast(differ, sitk.sitkFloat32) * 0.5
    return add_comparison(volume, models, differ, entropy, {"agreement": [{"dice": 1.0}]})


def view(tag: str) -> slicer.vtkMRMLSliceNode:
    return slicer.mrmlScene.GetSingletonNode(tag, "vtkMRMLSliceNode")


def composite(tag: str) -> slicer.vtkMRMLSliceCompositeNode:
    return slicer.mrmlScene.GetSingletonNode(tag, "vtkMRMLSliceCompositeNode")


def shown_in(node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    display = node.GetDisplayNode()
    return [tag for tag in layouts.VIEWS if display.IsDisplayableInView(view(tag).GetID())
            and display.GetVisibility()]  # fmt: skip


def test_each_result_is_shown_in_its_own_view_and_the_views_are_linked(layout, nodes, volume):
    layouts.show_side_by_side(nodes, volume, "Coronal")

    assert layout.GetViewArrangement() == layouts.SIDE_BY_SIDE
    for tag, node in zip(
        layouts.VIEWS, (nodes.first, nodes.second, nodes.disagreement), strict=True
    ):
        assert shown_in(node) == [tag]
        assert view(tag).GetOrientation() == "Coronal"
        assert view(tag).GetViewGroup() == layouts.SIDE_BY_SIDE
        assert composite(tag).GetLinkedControl()
        assert composite(tag).GetBackgroundVolumeID() == volume.GetID()
    assert composite(layouts.VIEWS[2]).GetForegroundVolumeID() == nodes.uncertainty.GetID()


def test_leaving_brings_back_the_layout_and_shows_the_first_everywhere(layout, nodes, volume):
    layout.SetViewArrangement(layout.SlicerLayoutFourUpView)
    layouts.show_side_by_side(nodes, volume)
    layouts.show_side_by_side(nodes, volume, "Sagittal")

    layouts.leave_side_by_side()

    assert layout.GetViewArrangement() == layout.SlicerLayoutFourUpView
    assert shown_in(nodes.first) == list(layouts.VIEWS)
    assert shown_in(nodes.second) == shown_in(nodes.disagreement) == []


def test_a_loaded_scene_shows_the_layout_once_it_is_registered_again(
    layout, nodes, volume, tmp_path
):
    layouts.show_side_by_side(nodes, volume)
    names = [node.GetName() for node in (nodes.first, nodes.second)]
    files.save_scene(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear()
    files.load_scene(tmp_path / "scene.mrb")

    layouts.register_layout()
    layouts.register_layout()

    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    assert layout.GetViewArrangement() == layouts.SIDE_BY_SIDE
    assert layouts.VIEWS[1] in layout.GetCurrentLayoutDescription()
    first, second = map(slicer.util.getNode, names)
    assert shown_in(first) == [layouts.VIEWS[0]]
    assert shown_in(second) == [layouts.VIEWS[1]]


def test_registering_the_layout_switches_no_view():
    before = slicer.mrmlScene.GetNumberOfNodes()

    layouts.register_layout()

    assert slicer.mrmlScene.GetNumberOfNodes() == before


def differing(array: np.ndarray) -> slicer.vtkMRMLSegmentationNode:
    """On voxels of 1 x 2 x 3 mm whose first centre is the world's origin; x runs left."""
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing((1, 2, 3))
    volume = volume_from_image(image, "head")
    return segmentation_from_labels(image, [Label(1, "Disagreement", (9, 9, 9))], volume, "d")


def test_the_slice_that_differs_most_is_found_for_each_orientation():
    array = np.zeros((6, 7, 8))
    array[1, 2, 3:7] = array[4, 2:6, 5] = array[4, 5, 5:8] = 1

    positions = layouts.largest_disagreement(differing(array))

    assert positions["Axial"][2] == pytest.approx(4 * 3)
    assert positions["Sagittal"][0] == pytest.approx(-5)
    assert positions["Coronal"][1] == pytest.approx(-2 * 2)


def test_where_all_agree_there_is_no_largest_disagreement():
    assert layouts.largest_disagreement(differing(np.zeros((3, 3, 3)))) == {}


def test_a_jump_moves_each_view_to_the_slice_of_its_orientation(nodes, volume):
    layouts.show_side_by_side(nodes, volume, "Sagittal")

    layouts.jump({"Sagittal": (-7.0, 3.0, 5.0), "Axial": (0.0, 0.0, 99.0)})

    for tag in layouts.VIEWS:
        matrix = slicer.util.arrayFromVTKMatrix(view(tag).GetSliceToRAS())
        assert matrix[:3, 3] == pytest.approx([-7.0, 3.0, 5.0])
