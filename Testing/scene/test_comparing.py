"""A model against a reference segmentation: inside the region, by names, the user's left alone."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.errors import RegionError, UsageError
from KDSegmentationLogic.scene.compared import ComparisonNodes
from KDSegmentationLogic.scene.logic import SceneLogic
from KDSegmentationLogic.scene.segmentations import (
    labels_from_segmentation,
    segmentation_from_labels,
)
from KDSegmentationLogic.scene.tables import rows_from_table
from KDSegmentationLogic.scene.volumes import volume_from_image
from Testing.making import phantom

NAMES = (Label(1, "Anterior", (9, 8, 7)), Label(2, "posterior_", (1, 2, 3)))


@pytest.fixture(scope="module")
def logic() -> SceneLogic:
    return SceneLogic(worker=False)


@pytest.fixture
def volume() -> slicer.vtkMRMLScalarVolumeNode:
    return volume_from_image(phantom()[0], "head")


def reference(volume, names=NAMES) -> slicer.vtkMRMLSegmentationNode:
    return segmentation_from_labels(phantom()[1], names, volume, "truth")


def differing(nodes: ComparisonNodes, volume: slicer.vtkMRMLScalarVolumeNode) -> int:
    return int(
        sitk.GetArrayFromImage(labels_from_segmentation(nodes.disagreement, volume)[0]).sum()
    )


def test_the_truth_agrees_with_a_model_that_finds_it(logic, volume, student_bundle):
    names = (Label(1, "Anterior", (9, 8, 7)), Label(2, "POSTERIOR", (1, 2, 3)))
    truth = reference(volume, names)

    nodes = logic.compare(volume, str(student_bundle.folder), truth)

    rows = rows_from_table(nodes.tables[0])
    assert [(row["structure"], row["dice"]) for row in rows] == [("anterior", 1), ("posterior", 1)]
    assert [row["difference (mL)"] for row in rows] == [0, 0]
    assert differing(nodes, volume) == 0


def test_the_reference_is_copied_and_itself_left_alone(logic, volume, student_bundle):
    truth = reference(volume)
    before = truth.GetDisplayNode().GetVisibility(), truth.GetSegmentation().GetMTime()

    nodes = logic.compare(volume, str(student_bundle.folder), truth)

    assert nodes.second is not truth
    assert before == (truth.GetDisplayNode().GetVisibility(), truth.GetSegmentation().GetMTime())
    color = nodes.second.GetSegmentation().GetSegment("label_1").GetColor()
    assert np.round(np.multiply(color, 255)).tolist() == [9, 8, 7]


def test_beside_a_reference_the_uncertainty_is_the_models(logic, volume, student_bundle):
    nodes = logic.compare(volume, str(student_bundle.folder), reference(volume))

    assert nodes.uncertainty.GetName() == f"Uncertainty of head {student_bundle.name}"


def test_outside_of_the_region_a_reference_does_not_count(logic, volume, student_bundle):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetCenterWorld(-12, -10, 8)
    roi.SetSizeWorld(6, 6, 6)
    names = (Label(1, "anterior", (9, 8, 7)), Label(2, "posterior", (1, 2, 3)))

    nodes = logic.compare(volume, str(student_bundle.folder), reference(volume, names), roi=roi)

    assert differing(nodes, volume) == 0
    assert sitk.GetArrayFromImage(labels_from_segmentation(nodes.second, volume)[0]).any()


def test_a_reference_without_the_models_structures_is_refused_with_both_lists(
    logic, volume, student_bundle
):
    before = slicer.mrmlScene.GetNumberOfNodes()
    truth = reference(volume, (Label(1, "Liver", (9, 8, 7)),))
    added = slicer.mrmlScene.GetNumberOfNodes()

    with pytest.raises(UsageError, match=r"truth has Liver.*finds anterior, posterior"):
        logic.compare(volume, str(student_bundle.folder), truth)

    assert slicer.mrmlScene.GetNumberOfNodes() == added > before


def test_a_point_where_the_reference_has_nothing_is_said_to_be_one(logic, volume, student_bundle):
    empty = sitk.GetImageFromArray(np.zeros((16, 20, 24), np.uint8))
    truth = segmentation_from_labels(empty, NAMES, volume, "truth")

    with pytest.raises(RegionError, match="reference has no structure at the point"):
        logic.compare(volume, str(student_bundle.folder), truth, point=(-12, -10, 8))


def test_a_comparison_is_found_again_by_its_ids_while_it_is_whole(logic, volume, student_bundle):
    nodes = logic.compare(volume, str(student_bundle.folder), reference(volume))

    again = ComparisonNodes.of(nodes.ids)
    slicer.mrmlScene.RemoveNode(nodes.second)

    assert again == nodes
    assert ComparisonNodes.of(nodes.ids) is None
