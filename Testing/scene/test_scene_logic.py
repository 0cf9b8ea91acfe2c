"""The class that Slicer scripts call, on a real scene."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.errors import RegionError, UsageError
from KDSegmentationLogic.inference.pipeline import Predictor
from KDSegmentationLogic.inference.region import Box
from KDSegmentationLogic.scene.logic import SceneLogic
from KDSegmentationLogic.scene.segmentations import labels_from_segmentation
from KDSegmentationLogic.scene.tables import rows_from_table
from KDSegmentationLogic.scene.volumes import (
    ijk_to_ras,
    image_from_volume,
    parent_to_world,
    volume_from_image,
)

slicer = pytest.importorskip("slicer", reason="needs the package slicer-core")

CORNER = np.array([-20.0, -30.0, 10.0])


@pytest.fixture
def volume():
    """32 x 40 x 28 voxels of noise with a bright ball, under a turned and shifted transform."""
    random = np.random.default_rng(0)
    array = random.normal(100, 10, (28, 40, 32)).astype(np.float32)
    z, y, x = np.ogrid[:28, :40, :32]
    array[(z - 14) ** 2 + (y - 20) ** 2 + (x - 16) ** 2 < 64] += 200
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(CORNER.tolist())
    node = volume_from_image(image, "head")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    matrix[:3, 3] = [100, 50, -20]
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


def world_of_index(volume, ijk):
    """World RAS mm of a voxel index, by MRML's own matrices."""
    return (parent_to_world(volume) @ ijk_to_ras(volume) @ [*ijk, 1])[:3]


def test_the_segmentation_is_what_the_predictor_says_for_the_same_image(volume, student_bundle):
    node = SceneLogic().process(volume, str(student_bundle.folder))

    labels, _ = labels_from_segmentation(node, volume)
    expected = Predictor(student_bundle).segment([image_from_volume(volume)]).labels
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), sitk.GetArrayFromImage(expected))


def test_the_segmentation_stands_under_the_transform_of_its_volume(volume, student_bundle):
    node = SceneLogic().process(volume, str(student_bundle.folder))

    assert node.GetTransformNodeID() == volume.GetTransformNodeID()


def test_a_region_of_interest_in_the_world_becomes_the_voxels_inside_it(volume, student_bundle):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetCenterWorld(*world_of_index(volume, (15.5, 19.5, 13.5)))
    roi.SetSizeWorld(16, 12, 20)  # the parent swaps x and y

    result = SceneLogic().predict([volume], str(student_bundle.folder), roi=roi)

    low = [-(CORNER[0] + 9.5), -(CORNER[1] + 11.5), CORNER[2] + 3.5]
    high = [-(CORNER[0] + 21.5), -(CORNER[1] + 27.5), CORNER[2] + 23.5]
    box = Box(tuple(np.minimum(low, high)), tuple(np.maximum(low, high)))
    expected = Predictor(student_bundle).segment([image_from_volume(volume)], box)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(result.labels), sitk.GetArrayFromImage(expected.labels)
    )


def test_a_point_and_a_region_together_are_refused(volume, student_bundle):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")

    with pytest.raises(UsageError, match="Both a point and a region"):
        SceneLogic().predict([volume], str(student_bundle.folder), point=(0, 0, 0), roi=roi)


def test_a_point_outside_the_volume_adds_no_node(volume, student_bundle):
    before = slicer.mrmlScene.GetNumberOfNodes()

    with pytest.raises(RegionError, match="lies outside the image"):
        SceneLogic().process(volume, str(student_bundle.folder), point=(900, 0, 0))

    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_comparison_adds_both_results_their_difference_uncertainty_and_a_table(
    volume, student_bundle, ensemble_bundle
):
    nodes = SceneLogic().compare(volume, str(student_bundle.folder), str(ensemble_bundle.folder))

    student, _ = labels_from_segmentation(nodes.first, volume)
    ensemble, _ = labels_from_segmentation(nodes.second, volume)
    differ, _ = labels_from_segmentation(nodes.disagreement, volume)
    arrays = [sitk.GetArrayFromImage(image) for image in (student, ensemble, differ)]
    np.testing.assert_array_equal(arrays[2] == 1, arrays[0] != arrays[1])
    rows = rows_from_table(nodes.tables[0])
    names = [label.name for label in student_bundle.description.labels]
    assert [row["structure"] for row in rows] == names
    assert nodes.uncertainty.GetTransformNodeID() == volume.GetTransformNodeID()
    assert 0 < slicer.util.arrayFromVolume(nodes.uncertainty).max() <= 1.001


def test_a_comparison_that_fails_leaves_the_scene_as_it_was(volume, student_bundle, crop_bundle):
    before = slicer.mrmlScene.GetNumberOfNodes()

    with pytest.raises(RegionError):
        SceneLogic().compare(
            volume, str(student_bundle.folder), str(crop_bundle.folder), point=(900, 0, 0)
        )

    assert slicer.mrmlScene.GetNumberOfNodes() == before
