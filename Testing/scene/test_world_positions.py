"""In every path structures stand where they are in the world, to 0.01 mm.

Volumes are oblique, left-handed and under chains of transforms that turn, mirror and scale.
"""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.scene.layouts import largest_disagreement
from KDSegmentationLogic.scene.logic import SceneLogic
from KDSegmentationLogic.scene.volumes import volume_from_image
from Testing.making import phantom
from Testing.scene import cases

_few = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_unit = st.just((1.0, 1.0, 1.0))
_angle = st.floats(-180, 180)
_flip = st.sampled_from([1, -1])
_placings = st.builds(
    cases.image,
    spacing=_unit,
    origin=st.tuples(*[st.floats(-200, 200)] * 3),
    degrees=st.tuples(_angle, _angle, _angle),
    flip=st.tuples(_flip, _flip, _flip),
)
_FIRST = (11, 13, 9)


@pytest.fixture(scope="module")
def logic() -> SceneLogic:
    return SceneLogic(worker=False)


def placed(
    placing: sitk.Image, *parents: np.ndarray
) -> tuple[slicer.vtkMRMLVolumeNode, sitk.Image]:
    """The phantom in a larger volume that stands as ``placing`` does, and its labels."""
    made = []
    for small in phantom():
        image = sitk.Image((44, 42, 36), small.GetPixelID())
        image = sitk.Paste(image, small, small.GetSize(), [0, 0, 0], _FIRST)
        image.SetOrigin(placing.GetOrigin())
        image.SetDirection(placing.GetDirection())
        made.append(image)
    slicer.mrmlScene.Clear()
    volume = volume_from_image(made[0], "head")
    cases.put_under(volume, *parents)
    return volume, made[1]


def error_of(
    node: slicer.vtkMRMLSegmentationNode, labels: sitk.Image, *parents: np.ndarray
) -> float:
    """The largest distance (mm) of a segment's centroid from where its structure is."""
    segmentation = node.GetSegmentation()
    worst = 0.0
    for identifier in segmentation.GetSegmentIDs():
        value = segmentation.GetSegment(identifier).GetLabelValue()
        found = cases.segment_centroid_in_world(node, identifier)
        expected = cases.centroid_in_world(labels, value, *parents)
        worst = max(worst, float(np.abs(found - expected).max()))
    assert segmentation.GetNumberOfSegments() == 2
    return worst


def middle(labels: sitk.Image, *parents: np.ndarray) -> np.ndarray:
    """World RAS mm of the middle of both structures together."""
    return cases.centroid_in_world(sitk.Cast(labels > 0, sitk.sitkUInt8), 1, *parents)


@_few
@given(placing=_placings, inner=cases.matrices(), outer=cases.matrices())
def test_of_a_whole_volume(placing, inner, outer, logic, student_bundle):
    volume, labels = placed(placing, inner, outer)

    node = logic.process(volume, str(student_bundle.folder))

    assert error_of(node, labels, inner, outer) < 0.01


@_few
@given(placing=_placings, inner=cases.matrices(), outer=cases.matrices(), turned=cases.matrices())
def test_inside_a_turned_region_of_interest(placing, inner, outer, turned, logic, student_bundle):
    volume, labels = placed(placing, inner, outer)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    frame = np.array(turned)
    frame[:3, 3] = middle(labels, inner, outer)
    # Largest stretch of both parents is 4, of the phantom's diagonal 17 mm from its middle;
    # least stretch of the region's own parent is a half.
    roi.SetSize(*[2 * 2 * 4 * 17.0] * 3)
    cases.put_under(roi, frame)

    node = logic.process(volume, str(student_bundle.folder), roi=roi)

    assert error_of(node, labels, inner, outer) < 0.01


@_few
@given(placing=_placings, inner=cases.matrices(), outer=cases.matrices())
def test_round_a_point(placing, inner, outer, logic, crop_bundle):
    volume, labels = placed(placing, inner, outer)

    node = logic.process(volume, str(crop_bundle.folder), point=middle(labels, inner, outer))

    assert error_of(node, labels, inner, outer) < 0.01


@_few
@given(placing=_placings, inner=cases.matrices(), outer=cases.matrices())
def test_of_a_click_and_of_the_click_that_takes_it_back(placing, inner, outer, logic, crop_bundle):
    volume, labels = placed(placing, inner, outer)
    point = middle(labels, inner, outer)

    node = logic.pick(volume, str(crop_bundle.folder), point, waitForCompletion=True)

    assert error_of(node, labels, inner, outer) < 0.01
    assert len(logic.unpick(node, point)) == 2


@_few
@given(placing=_placings, inner=cases.matrices(), outer=cases.matrices())
def test_of_a_comparison_with_a_reference_and_of_its_largest_disagreement(
    placing, inner, outer, logic, student_bundle
):
    volume, labels = placed(placing, inner, outer)
    truth = logic.process(volume, str(student_bundle.folder))
    truth.GetSegmentation().RemoveSegment("label_2")

    nodes = logic.compare(volume, str(student_bundle.folder), truth)

    assert error_of(nodes.first, labels, inner, outer) < 0.01
    (segment,) = nodes.disagreement.GetSegmentation().GetSegmentIDs()
    differing = cases.segment_centroid_in_world(nodes.disagreement, segment)
    assert np.abs(differing - cases.centroid_in_world(labels, 2, inner, outer)).max() < 0.01
    for orientation, position in largest_disagreement(nodes.disagreement).items():
        axis = ("Sagittal", "Coronal", "Axial").index(orientation)
        assert labels_at(volume, labels, position, inner, outer, reach=axis)


def labels_at(volume, labels, position, *parents, reach):
    """Whether the slice through a world position cuts structure 2."""
    array = sitk.GetArrayViewFromImage(labels)
    k, j, i = np.nonzero(array == 2)
    matrix = np.eye(4)
    for parent in parents:
        matrix = parent @ matrix
    ijk_to_ras = slicer.util.vtkMatrixFromArray(np.eye(4))
    volume.GetIJKToRASMatrix(ijk_to_ras)
    world = matrix @ slicer.util.arrayFromVTKMatrix(ijk_to_ras) @ [i, j, k, np.ones_like(i)]
    return world[reach].min() - 0.01 <= position[reach] <= world[reach].max() + 0.01
