"""A new run may take the place of this module's last result, and of nothing else."""

from __future__ import annotations

import pytest
import slicer

from KDSegmentationLogic.scene import edits, files
from KDSegmentationLogic.scene.logic import SceneLogic
from KDSegmentationLogic.scene.segmentations import segmentation_from_labels
from KDSegmentationLogic.scene.volumes import volume_from_image
from Testing.making import LABELS, phantom


@pytest.fixture(scope="module")
def logic() -> SceneLogic:
    return SceneLogic(worker=False)


@pytest.fixture
def volume() -> slicer.vtkMRMLScalarVolumeNode:
    return volume_from_image(phantom()[0], "head")


def run(logic, volume, bundle, replace):
    return logic.process(volume, str(bundle.folder), replace=replace, waitForCompletion=False)


def test_each_run_makes_a_new_segmentation_unless_it_shall_replace(logic, volume, student_bundle):
    first, second = (run(logic, volume, student_bundle, False).nodes[0] for _ in range(2))

    third = run(logic, volume, student_bundle, True).nodes[0]

    assert third is second
    assert third is not first


def test_replacing_keeps_node_display_and_colours(logic, volume, student_bundle, ensemble_bundle):
    node = run(logic, volume, student_bundle, False).nodes[0]
    node.GetSegmentation().GetSegment("label_1").SetColor(0.5, 0.25, 0.125)
    node.GetDisplayNode().SetSegmentVisibility("label_2", False)
    before = slicer.mrmlScene.GetNumberOfNodes()

    run(logic, volume, ensemble_bundle, node)

    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert node.GetName() == f"head {ensemble_bundle.name}"
    assert node.GetSegmentation().GetSegment("label_1").GetColor() == (0.5, 0.25, 0.125)
    assert not node.GetDisplayNode().GetSegmentVisibility("label_2")
    assert node.GetSegmentation().GetNumberOfLayers() == 1


def paint(node):
    layer = node.GetSegmentation().GetSegment("label_1").GetRepresentation("Binary labelmap")
    layer.GetPointData().GetScalars().SetTuple1(0, 1)


def rename(node):
    node.GetSegmentation().GetSegment("label_1").SetName("tumour")


def add(node):
    node.GetSegmentation().AddEmptySegment("mine")


def remove(node):
    node.GetSegmentation().RemoveSegment("label_2")


@pytest.mark.parametrize("edit", [paint, rename, add, remove])
def test_what_the_user_changed_is_kept_and_a_notice_says_so(logic, volume, student_bundle, edit):
    node = run(logic, volume, student_bundle, False).nodes[0]
    edit(node)

    task = run(logic, volume, student_bundle, node)

    assert task.nodes[0] is not node
    assert "has been edited: it was kept" in task.notices[-1]


def test_a_segmentation_that_this_module_did_not_make_is_never_replaced(
    logic, volume, student_bundle
):
    node = segmentation_from_labels(phantom()[1], LABELS, volume, "mine")

    task = run(logic, volume, student_bundle, node)

    assert task.nodes[0] is not node
    assert "was not made by this module" in task.notices[-1]


def test_the_last_result_of_another_volume_is_not_replaced(logic, volume, student_bundle):
    other = volume_from_image(phantom()[0], "other")
    node = run(logic, other, student_bundle, False).nodes[0]

    assert run(logic, volume, student_bundle, True).nodes[0] is not node


def test_an_untouched_result_is_known_as_such_after_save_and_load(
    logic, volume, student_bundle, tmp_path
):
    name = run(logic, volume, student_bundle, False).nodes[0].GetName()

    files.save_scene(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear()
    files.load_scene(tmp_path / "scene.mrb")

    node, volume = slicer.util.getNode(name), slicer.util.getNode("head")
    assert edits.is_untouched(node)
    assert edits.last_result(volume) is node
    paint(node)
    assert not edits.is_untouched(node)


def test_a_result_whose_transform_was_hardened_is_still_untouched(logic, volume, student_bundle):
    node = run(logic, volume, student_bundle, False).nodes[0]
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.GetMatrixTransformToParent()
    node.SetAndObserveTransformNodeID(transform.GetID())

    node.HardenTransform()

    assert edits.is_untouched(node)
