"""The class that Slicer scripts call, on a real scene."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.writing import save_bundle
from KDSegmentationLogic.errors import DependencyError, ImageError, RegionError, UsageError
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.inference.region import Box
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.scene.logic import SceneLogic
from KDSegmentationLogic.scene.segmentations import labels_from_segmentation
from KDSegmentationLogic.scene.tables import rows_from_table
from KDSegmentationLogic.scene.volumes import (
    ijk_to_ras,
    image_from_volume,
    parent_to_world,
    volume_from_image,
)
from Testing.making import phantom, tell_intensities_apart, tiny_student
from Testing.scene import cases

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
    node = SceneLogic(worker=False).process(volume, str(student_bundle.folder))

    labels, _ = labels_from_segmentation(node, volume)
    expected = Predictor(student_bundle).segment([image_from_volume(volume)]).labels
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), sitk.GetArrayFromImage(expected))


def test_the_segmentation_stands_under_the_transform_of_its_volume(volume, student_bundle):
    node = SceneLogic(worker=False).process(volume, str(student_bundle.folder))

    assert node.GetTransformNodeID() == volume.GetTransformNodeID()


def test_a_region_of_interest_in_the_world_becomes_the_voxels_inside_it(volume, student_bundle):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetCenterWorld(*world_of_index(volume, (15.5, 19.5, 13.5)))
    roi.SetSizeWorld(16, 12, 20)  # the parent swaps x and y

    result = SceneLogic(worker=False).predict([volume], str(student_bundle.folder), roi=roi)

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
        SceneLogic(worker=False).predict(
            [volume], str(student_bundle.folder), point=(0, 0, 0), roi=roi
        )


def test_a_point_outside_the_volume_adds_no_node(volume, student_bundle):
    before = slicer.mrmlScene.GetNumberOfNodes()

    with pytest.raises(RegionError, match="lies outside the image"):
        SceneLogic(worker=False).process(volume, str(student_bundle.folder), point=(900, 0, 0))

    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_comparison_adds_both_results_their_difference_uncertainty_and_a_table(
    volume, student_bundle, ensemble_bundle
):
    nodes = SceneLogic(worker=False).compare(
        volume, str(student_bundle.folder), str(ensemble_bundle.folder)
    )

    student, _ = labels_from_segmentation(nodes.first, volume)
    ensemble, _ = labels_from_segmentation(nodes.second, volume)
    differ, _ = labels_from_segmentation(nodes.disagreement, volume)
    arrays = [sitk.GetArrayFromImage(image) for image in (student, ensemble, differ)]
    np.testing.assert_array_equal(arrays[2] == 1, arrays[0] != arrays[1])
    rows, runs = (rows_from_table(table) for table in nodes.tables)
    names = [label.name for label in student_bundle.description.labels]
    assert [row["structure"] for row in rows] == names
    assert [run["model"] for run in runs] == [student_bundle.name, ensemble_bundle.name]
    assert all(run["seconds"] > 0 for run in runs)
    assert nodes.uncertainty.GetTransformNodeID() == volume.GetTransformNodeID()
    assert 0 < slicer.util.arrayFromVolume(nodes.uncertainty).max() <= 1.001
    segmentations = (nodes.first, nodes.second, nodes.disagreement)
    assert [node.GetDisplayNode().GetVisibility() for node in segmentations] == [1, 0, 0]


def test_a_comparison_that_fails_leaves_the_scene_as_it_was(volume, student_bundle, crop_bundle):
    before = slicer.mrmlScene.GetNumberOfNodes()

    with pytest.raises(RegionError):
        SceneLogic(worker=False).compare(
            volume, str(student_bundle.folder), str(crop_bundle.folder), point=(900, 0, 0)
        )

    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_turned_region_on_a_turned_volume_holds_all_that_is_labelled(volume, student_bundle):
    array = slicer.util.arrayFromVolume(volume)
    array[:] = 100  # a structure everywhere
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetSize(16, 12, 10)
    placed = np.eye(4)
    placed[:3, :3] = cases.rotation((30.0, 20.0, 40.0))
    placed[:3, 3] = world_of_index(volume, (15.5, 19.5, 13.5))
    cases.put_under(roi, placed)

    result = SceneLogic(worker=False).predict([volume], str(student_bundle.folder), roi=roi)

    k, j, i = np.nonzero(sitk.GetArrayViewFromImage(result.labels))
    world = parent_to_world(volume) @ ijk_to_ras(volume) @ [i, j, k, np.ones_like(i)]
    inside = np.abs((np.linalg.inv(placed) @ world)[:3])
    assert (inside <= np.array([[8], [6], [5]]) + 1e-6).all()
    assert len(i) == pytest.approx(16 * 12 * 10, rel=0.05)


@pytest.fixture(scope="module")
def second_channel_bundle(tmp_path_factory, student_bundle):
    """Two channels, of which the second alone decides."""
    description = student_bundle.description
    (member,), (channel,) = description.members, description.channels
    member = replace(member, arguments={**member.arguments, "in_channels": 2})
    network = build_network(member.architecture, member.arguments)
    tell_intensities_apart(network)
    first = next(network.parameters())
    first.data = first.data.flip(1)
    changed = replace(
        description, channels=(replace(channel, name="other"), channel), members=(member,)
    )
    return save_bundle(tmp_path_factory.mktemp("bundles") / "two-channels", changed, [network])


def in_scene(image, name, parent=None):
    """A volume that stands where ``image`` says; under ``parent``, its own geometry gives way."""
    node = volume_from_image(image, name)
    if parent is not None:
        matrix = np.linalg.inv(parent) @ ijk_to_ras(node)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
        cases.put_under(node, parent)
    return node


def placed_at(move, degrees=(0.0, 0.0, 0.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = cases.rotation(degrees)
    matrix[:3, 3] = move
    return matrix


def test_channels_that_their_transforms_register_are_segmented_as_registered_ones(
    second_channel_bundle,
):
    image, labels = phantom()
    first = in_scene(image, "t1", placed_at((10.0, -20.0, 30.0), (0.0, 0.0, 35.0)))
    second = in_scene(image, "t2", placed_at((0.0, 50.0, 0.0), (90.0, 15.0, 0.0)))
    notices = []

    result = SceneLogic(worker=False).predict(
        [first, second], str(second_channel_bundle.folder), monitor=Monitor(notice=notices.append)
    )

    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(result.labels), sitk.GetArrayFromImage(labels)
    )
    assert not [notice for notice in notices if "resampled" in notice]


def test_a_channel_that_its_transform_moves_is_resampled_with_a_notice(second_channel_bundle):
    image, labels = phantom()
    first, second = in_scene(image, "t1"), in_scene(image, "t2")
    cases.put_under(second, placed_at((0.0, 0.0, 3.0)))
    notices = []

    result = SceneLogic(worker=False).predict(
        [first, second], str(second_channel_bundle.folder), monitor=Monitor(notice=notices.append)
    )

    found, truth = sitk.GetArrayFromImage(result.labels), sitk.GetArrayFromImage(labels)
    np.testing.assert_array_equal(found[3:], truth[:-3])
    assert "t2 was resampled onto the grid of t1: its origin differs." in notices


def test_channels_that_stand_apart_in_the_world_are_refused(second_channel_bundle):
    image, _ = phantom()
    first, second = in_scene(image, "t1"), in_scene(image, "t2")
    cases.put_under(second, placed_at((50.0, 0.0, 0.0)))

    with pytest.raises(ImageError, match="t2 and t1 do not overlap"):
        SceneLogic(worker=False).predict([first, second], str(second_channel_bundle.folder))


def test_a_channel_that_its_transform_shears_is_refused_with_the_remedy(second_channel_bundle):
    image, _ = phantom()
    first, second = in_scene(image, "t1"), in_scene(image, "t2")
    shear = np.eye(4)
    shear[0, 1] = 0.2
    cases.put_under(second, shear)

    with pytest.raises(ImageError, match=r"t2, seen from t1.*hardening"):
        SceneLogic(worker=False).predict([first, second], str(second_channel_bundle.folder))


def test_a_shear_that_all_channels_share_does_not_matter(second_channel_bundle):
    image, labels = phantom()
    first, second = in_scene(image, "t1"), in_scene(image, "t2")
    shear = np.eye(4)
    shear[0, 1] = 0.2
    for node in (first, second):
        cases.put_under(node, shear)

    result = SceneLogic(worker=False).predict([first, second], str(second_channel_bundle.folder))

    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(result.labels), sitk.GetArrayFromImage(labels)
    )


def test_a_bundle_that_was_replaced_is_run_with_its_new_weights(tmp_path):
    volume = in_scene(phantom()[0], "t1")
    bundle = tiny_student(tmp_path / "model")
    logic = SceneLogic(worker=False)
    before = logic.predict([volume], str(bundle.folder)).labels
    network = build_network(
        bundle.description.members[0].architecture, bundle.description.members[0].arguments
    )
    for parameter in network.parameters():
        parameter.data.zero_()  # all classes alike: background
    save_bundle(bundle.folder, bundle.description, [network], replace=True)

    after = logic.predict([volume], str(bundle.folder)).labels

    assert sitk.GetArrayViewFromImage(before).any()
    assert not sitk.GetArrayViewFromImage(after).any()


def test_the_last_two_models_are_kept_and_no_more(student_bundle):
    volume = in_scene(phantom()[0], "t1")
    logic = SceneLogic(worker=False)
    loaded = []

    def run(threads):
        notices = []
        settings = Settings(device="cpu", threads=threads)
        monitor = Monitor(notice=notices.append)
        logic.predict([volume], str(student_bundle.folder), settings=settings, monitor=monitor)
        if any(notice.startswith("Running on") for notice in notices):
            loaded.append(threads)

    for threads in (None, 1, None, 2, 1):
        run(threads)

    assert loaded == [None, 1, 2, 1]


def test_a_package_that_fails_is_named_with_the_way_to_install_it(
    volume, student_bundle, monkeypatch
):
    monkeypatch.setitem(sys.modules, "safetensors", None)

    with pytest.raises(DependencyError, match=r"safetensors.*pip"):
        SceneLogic(worker=False).process(volume, str(student_bundle.folder))
