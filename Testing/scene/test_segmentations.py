"""Label maps become segmentation nodes in the right place, and come back unchanged."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from hypothesis import given, settings

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.scene import segmentations, volumes
from Testing.scene import cases


def make(
    image: sitk.Image | None = None, present: tuple[int, ...] = (1, 3), *parents: np.ndarray
) -> tuple[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLScalarVolumeNode, sitk.Image]:
    image = image or cases.image()
    volume = volumes.volume_from_image(image, "t1")
    cases.put_under(volume, *parents)
    labels = cases.label_map(image, present)
    node = segmentations.segmentation_from_labels(labels, cases.LABELS, volume, "student")
    return node, volume, labels


@settings(max_examples=15, deadline=None)
@given(image=cases.images, inner=cases.matrices(), outer=cases.matrices())
def test_structures_lie_where_the_volume_is_in_the_world(
    image: sitk.Image, inner: np.ndarray, outer: np.ndarray
) -> None:
    node, _, labels = make(image, (1, 3), inner, outer)

    for label in cases.LABELS:
        expected = cases.centroid_in_world(labels, label.value, inner, outer)
        found = cases.segment_centroid_in_world(node, f"label_{label.value}")
        assert np.abs(found - expected).max() < 0.01


@settings(max_examples=15, deadline=None)
@given(image=cases.images, parent=cases.matrices())
def test_the_label_map_comes_back_exactly(image: sitk.Image, parent: np.ndarray) -> None:
    node, volume, labels = make(image, (1, 3), parent)

    back, names = segmentations.labels_from_segmentation(node, volume)

    assert (sitk.GetArrayViewFromImage(back) == sitk.GetArrayViewFromImage(labels)).all()
    assert back.GetOrigin() == pytest.approx(labels.GetOrigin(), abs=1e-9)
    assert back.GetDirection() == pytest.approx(labels.GetDirection(), abs=1e-9)
    assert names == {1: "Anterior", 3: "Posterior"}


def test_all_segments_share_one_layer() -> None:
    node, _, _ = make()

    assert node.GetSegmentation().GetNumberOfLayers() == 1
    assert node.GetSegmentation().GetSourceRepresentationName() == "Binary labelmap"


def test_segments_carry_id_name_colour_and_codes() -> None:
    node, _, _ = make()

    segment = node.GetSegmentation().GetSegment("label_3")

    assert segment.GetName() == "Posterior"
    assert segment.GetColor() == pytest.approx((90 / 255, 160 / 255, 220 / 255))
    assert segment.GetLabelValue() == 3
    assert segment.GetTerminology() == (
        "Segmentation category and type - DICOM master list"
        "~SCT^123037004^Anatomical Structure~SCT^5366008^Hippocampus~SCT^7771000^Left"
        "~Anatomic codes - DICOM master list~^^~^^"
    )


def test_slicer_itself_reads_the_codes() -> None:
    node, _, _ = make()
    entry = slicer.vtkSlicerTerminologyEntry()
    terminology = node.GetSegmentation().GetSegment("label_3").GetTerminology()

    assert slicer.modules.terminologies.logic().DeserializeTerminologyEntry(terminology, entry)

    assert entry.GetTypeObject().GetCodeValue() == "5366008"
    assert entry.GetTypeModifierObject().GetCodeMeaning() == "Left"


def test_a_missing_label_is_an_empty_segment_and_moves_no_other() -> None:
    node, volume, labels = make(None, (3,))

    back, names = segmentations.labels_from_segmentation(node, volume)

    assert names == {1: "Anterior", 3: "Posterior"}
    assert not slicer.util.arrayFromSegmentBinaryLabelmap(node, "label_1", volume).any()
    assert (sitk.GetArrayViewFromImage(back) == sitk.GetArrayViewFromImage(labels)).all()


def test_an_empty_label_map_gives_empty_segments() -> None:
    image = cases.image()
    volume = volumes.volume_from_image(image, "t1")
    empty = cases.label_map(image) * 0

    node = segmentations.segmentation_from_labels(empty, cases.LABELS, volume, "nothing")

    assert node.GetSegmentation().GetNumberOfSegments() == 2
    back, _ = segmentations.labels_from_segmentation(node, volume)
    assert not sitk.GetArrayViewFromImage(back).any()


def test_a_segmentation_without_segments_is_a_map_of_zeros() -> None:
    volume = volumes.volume_from_image(cases.image(), "t1")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "bare")

    labels, names = segmentations.labels_from_segmentation(node, volume)

    assert names == {}
    assert labels.GetSize() == cases.SIZE
    assert not sitk.GetArrayViewFromImage(labels).any()
    differing = segmentations.disagreement(node, node, volume)
    assert not sitk.GetArrayViewFromImage(differing).any()


def test_label_values_above_255_are_kept() -> None:
    image = cases.image()
    volume = volumes.volume_from_image(image, "t1")
    labels = sitk.Cast(cases.label_map(image, (1,)), sitk.sitkUInt16) * 40000

    node = segmentations.segmentation_from_labels(
        labels, [Label(40000, "Cortex", (1, 2, 3))], volume, "many"
    )
    back, names = segmentations.labels_from_segmentation(node, volume)

    assert names == {40000: "Cortex"}
    assert (sitk.GetArrayViewFromImage(back) == sitk.GetArrayViewFromImage(labels)).all()


def test_a_result_for_another_grid_is_refused() -> None:
    volume = volumes.volume_from_image(cases.image(), "t1")
    moved = cases.label_map(cases.image(origin=(0.0, 31.0, 7.5)))

    with pytest.raises(SceneError, match="not on the grid of the volume t1"):
        segmentations.segmentation_from_labels(moved, cases.LABELS, volume, "student")
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_the_volumes_geometry_is_the_reference_of_the_segmentation() -> None:
    node, volume, _ = make()

    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume


def test_of_several_volumes_each_keeps_its_own_result() -> None:
    first, first_volume, _ = make(cases.image(degrees=(0.0, 0.0, 0.0)), (1,))
    second, second_volume, _ = make(cases.image(degrees=(90.0, 0.0, 5.0)), (3,))

    for node, volume, value in ((first, first_volume, 1), (second, second_volume, 3)):
        back, _ = segmentations.labels_from_segmentation(node, volume)
        assert set(np.unique(sitk.GetArrayViewFromImage(back))) == {0, value}
    assert first.GetID() != second.GetID()


def test_a_result_hangs_beside_its_volume_in_the_subject_hierarchy() -> None:
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "patient")
    study = tree.CreateStudyItem(patient, "study")
    volume = volumes.volume_from_image(cases.image(), "t1")
    tree.SetItemParent(tree.GetItemByDataNode(volume) or tree.CreateItem(study, volume), study)

    node = segmentations.segmentation_from_labels(
        cases.label_map(cases.image()), cases.LABELS, volume, "student"
    )

    assert tree.GetItemParent(tree.GetItemByDataNode(node)) == study


def test_an_added_segment_may_overlap_the_others() -> None:
    node, volume, labels = make()
    mask = labels > 0

    identifier = segmentations.add_segment(node, mask, "disagreement", (200, 30, 90))

    assert node.GetSegmentation().GetSegment(identifier).GetName() == "disagreement"
    added = slicer.util.arrayFromSegmentBinaryLabelmap(node, identifier, volume)
    assert (added == sitk.GetArrayViewFromImage(mask)).all()
    kept = slicer.util.arrayFromSegmentBinaryLabelmap(node, "label_1", volume)
    assert (kept == (sitk.GetArrayViewFromImage(labels) == 1)).all()


def test_segments_with_one_value_in_two_layers_are_numbered_in_their_order() -> None:
    node, volume, labels = make()
    corner = labels * 0
    corner[8, 0, 0] = 1
    segmentations.add_segment(node, corner, "extra", (200, 30, 90))

    back, names = segmentations.labels_from_segmentation(node, volume)

    assert names == {1: "Anterior", 2: "Posterior", 3: "extra"}
    assert back[8, 0, 0] == 3
    assert (sitk.GetArrayViewFromImage(back) == 2).sum() == (
        sitk.GetArrayViewFromImage(labels) == 3
    ).sum()


def test_two_segmentations_differ_where_they_name_different_structures() -> None:
    node, volume, labels = make()
    renamed = sitk.ChangeLabel(labels, {1: 7, 3: 2})
    renamed[8, 0, 0] = 7
    other = segmentations.segmentation_from_labels(
        renamed, [Label(7, "Anterior", (1, 2, 3)), Label(2, "Posterior", (4, 5, 6))], volume, "b"
    )

    mask = segmentations.disagreement(node, other, volume)

    assert np.argwhere(sitk.GetArrayViewFromImage(mask)).tolist() == [[0, 0, 8]]
    assert mask.GetOrigin() == pytest.approx(labels.GetOrigin())
