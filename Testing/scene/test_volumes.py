"""Volume nodes become images in local coordinates, and the other way round."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from hypothesis import given, settings

from KDSegmentationLogic.errors import ImageError, SceneError
from KDSegmentationLogic.scene import volumes
from Testing.scene import cases


@settings(max_examples=15, deadline=None)
@given(original=cases.images)
def test_an_image_comes_back_from_the_scene_with_its_voxels_and_geometry(
    original: sitk.Image,
) -> None:
    back = volumes.image_from_volume(volumes.volume_from_image(original, "t1"))

    assert (sitk.GetArrayViewFromImage(back) == sitk.GetArrayViewFromImage(original)).all()
    far = [size - 1 for size in original.GetSize()]
    for index in ([0, 0, 0], far):
        ours = back.TransformIndexToPhysicalPoint(index)
        assert ours == pytest.approx(original.TransformIndexToPhysicalPoint(index), abs=1e-9)


@pytest.mark.parametrize("kind", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkFloat64])
def test_the_voxel_type_is_kept(kind: int) -> None:
    node = volumes.volume_from_image(sitk.Cast(cases.image(), kind), "t1")

    assert volumes.image_from_volume(node).GetPixelID() == kind


def test_an_image_does_not_follow_later_changes_of_the_node() -> None:
    node = volumes.volume_from_image(cases.image(), "t1")
    image = volumes.image_from_volume(node)

    slicer.util.arrayFromVolume(node)[0, 0, 1] = 77.0

    assert image[1, 0, 0] == 1.0


def test_a_parent_transform_leaves_the_local_image_as_it_is() -> None:
    node = volumes.volume_from_image(cases.image(), "t1")
    before = volumes.image_from_volume(node)

    cases.put_under(node, np.diag([-2.0, 1.0, 1.0, 1.0]))

    assert volumes.image_from_volume(node).GetDirection() == before.GetDirection()
    assert volumes.image_from_volume(node).GetOrigin() == before.GetOrigin()


@settings(max_examples=10, deadline=None)
@given(inner=cases.matrices(), outer=cases.matrices())
def test_a_world_point_is_found_in_local_coordinates_through_nested_transforms(
    inner: np.ndarray, outer: np.ndarray
) -> None:
    node = volumes.volume_from_image(cases.image(), "t1")
    cases.put_under(node, inner, outer)
    local = np.array([3.0, -4.0, 5.0, 1.0])

    found = volumes.local_point(node, (outer @ inner @ local)[:3])

    assert found == pytest.approx(local[:3], abs=1e-6)


def test_without_a_parent_a_world_point_is_the_local_point() -> None:
    node = volumes.volume_from_image(cases.image(), "t1")

    assert volumes.local_point(node, (1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)


def test_a_left_handed_file_keeps_every_value_in_its_place_in_the_world(tmp_path) -> None:
    original = cases.image(flip=(1, 1, -1))
    sitk.WriteImage(original, tmp_path / "left.nrrd")

    node = slicer.modules.volumes.logic().AddArchetypeVolume(str(tmp_path / "left.nrrd"), "left")
    loaded = volumes.image_from_volume(node)

    # Slicer turns such files round on loading, so that index order is not the file's.
    assert np.linalg.det(np.reshape(loaded.GetDirection(), (3, 3))) > 0
    for index in ((0, 0, 0), (3, 5, 2), (8, 7, 6)):
        point = original.TransformIndexToPhysicalPoint(index)
        assert loaded[loaded.TransformPhysicalPointToIndex(point)] == original[index]


def test_no_volume_is_refused() -> None:
    with pytest.raises(SceneError, match="No scalar volume"):
        volumes.image_from_volume(None)


def test_a_volume_without_voxels_is_refused_by_name() -> None:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")

    with pytest.raises(SceneError, match="hollow has no voxels"):
        volumes.image_from_volume(node)


def test_a_colour_volume_is_refused_with_the_module_that_helps() -> None:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(node, np.zeros((2, 3, 4, 3), np.uint8))

    with pytest.raises(SceneError, match=r"3 values a voxel.*Vector to Scalar"):
        volumes.image_from_volume(node)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    image = cases.image()
    image[1, 2, 3] = value

    with pytest.raises(ImageError, match="The volume t1 holds 1 values"):
        volumes.image_from_volume(volumes.volume_from_image(image, "t1"))


def test_a_sheared_volume_is_refused() -> None:
    node = volumes.volume_from_image(cases.image(), "tilted")
    matrix = volumes.ijk_to_ras(node)
    matrix[:3, 2] += 0.1 * matrix[:3, 1]
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))

    with pytest.raises(ImageError, match="The volume tilted has a sheared"):
        volumes.image_from_volume(node)


def test_a_non_linear_parent_is_refused_with_the_remedy() -> None:
    node = volumes.volume_from_image(cases.image(), "warped")
    grid = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "bend")
    field = vtk.vtkImageData()
    field.SetDimensions(3, 3, 3)
    field.AllocateScalars(vtk.VTK_DOUBLE, 3)
    warp = slicer.vtkOrientedGridTransform()
    warp.SetDisplacementGridData(field)
    grid.SetAndObserveTransformFromParent(warp)
    node.SetAndObserveTransformNodeID(grid.GetID())

    with pytest.raises(SceneError, match=r"non-linear transform bend.*Harden"):
        volumes.image_from_volume(node)


def test_a_flattening_parent_is_refused() -> None:
    node = volumes.volume_from_image(cases.image(), "t1")
    cases.put_under(node, np.diag([1.0, 1.0, 0.0, 1.0]))

    with pytest.raises(SceneError, match="flat"):
        volumes.local_point(node, (0, 0, 0))


@pytest.mark.parametrize(
    ("image", "cause"),
    [
        (sitk.Image(4, 4, sitk.sitkUInt8), "3-D"),
        (sitk.Image([4, 4, 4], sitk.sitkVectorUInt8, 3), "one value a voxel"),
        (sitk.Image([4, 4, 4], sitk.sitkInt64), "64-bit"),
    ],
)
def test_an_image_that_no_volume_node_can_hold_is_refused(image: sitk.Image, cause: str) -> None:
    with pytest.raises(SceneError, match=cause):
        volumes.volume_from_image(image, "odd")


def test_an_uncertainty_volume_stands_beside_its_source_and_hides_certain_voxels() -> None:
    source = volumes.volume_from_image(cases.image(), "t1")
    cases.put_under(source, np.diag([-1.0, 1.0, 1.0, 1.0]))

    node = volumes.volume_from_image(cases.image(), "uncertainty", beside=source)
    volumes.display_as_map(node, 0.0, 0.7)

    assert node.GetTransformNodeID() == source.GetTransformNodeID()
    display = node.GetDisplayNode()
    assert display.GetColorNode().GetName() == "Iron"
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx((0.0, 0.7))
    assert display.GetApplyThreshold()
    assert display.GetLowerThreshold() == pytest.approx(0.007)
