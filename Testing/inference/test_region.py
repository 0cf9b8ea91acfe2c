"""Points, boxes, and models that know one structure's surroundings only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Channel, Grid, Normalisation
from KDSegmentationLogic.errors import RegionError
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.inference.preprocess import Geometry
from KDSegmentationLogic.inference.region import (
    CROP_TOLERANCE,
    NEAREST_MM,
    Box,
    Point,
    Region,
    choose_block,
    inside,
    keep_structure,
    with_context,
)
from Testing.making import phantom, tiny_student

CPU = Settings(device="cpu", threads=1)


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def balls() -> sitk.Image:
    """Two balls of the second structure's intensity, radius 4, at x = 10 and x = 30; RAS mm."""
    z, y, x = np.mgrid[0:20, 0:24, 0:44]
    inside = [(x - cx) ** 2 + (y - 12) ** 2 + (z - 10) ** 2 <= 16 for cx in (10, 30)]
    image = sitk.GetImageFromArray((200 * (inside[0] | inside[1])).astype(np.int16))
    # x and y flipped: voxel (x, y, z) lies at RAS (x, y, z)
    image.SetDirection((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    return image


def at(image: sitk.Image, ras: tuple[int, int, int]) -> int:
    return int(image.GetPixel(*ras))


def found(bundle: Bundle, image: sitk.Image, region: Region | None = None) -> sitk.Image:
    return Predictor(bundle, CPU).segment([image], region).labels


def test_a_point_gives_the_structure_under_it_and_no_other(student_bundle: Bundle) -> None:
    image = balls()
    labels = found(student_bundle, image, Point((10.0, 12.0, 10.0)))
    assert Geometry.of(labels) == Geometry.of(image)
    assert at(labels, (10, 12, 10)) == 2
    assert (array(labels)[:, :, 22:] == 0).all()
    assert int((array(labels) == 2).sum()) == int((array(image)[:, :, :22] > 0).sum())


def test_of_two_structures_in_reach_only_the_one_under_the_point_is_kept() -> None:
    labels = sitk.Image(20, 5, 5, sitk.sitkUInt8)
    labels[2:5, 1:4, 1:4] = 1
    labels[8:12, 1:4, 1:4] = 1
    kept, notice = keep_structure(labels, Point((-3.0, -2.0, 2.0)), together=False)
    assert notice is None
    assert (array(kept)[1:4, 1:4, 2:5] == 1).all()
    assert int(array(kept).sum()) == 27


@pytest.mark.parametrize(("together", "values"), [(True, {0, 1, 2}), (False, {0, 1})])
def test_touching_parts_stay_together_where_the_model_knows_parts_of_one_structure(
    together: bool, values: set[int]
) -> None:
    labels = sitk.Image(20, 5, 5, sitk.sitkUInt8)
    labels[2:5, 1:4, 1:4] = 1
    labels[5:8, 1:4, 1:4] = 2
    kept, _ = keep_structure(labels, Point((-3.0, -2.0, 2.0)), together)
    assert set(np.unique(array(kept)).tolist()) == values


def test_a_point_just_beside_a_structure_takes_it_and_says_so(student_bundle: Bundle) -> None:
    result = Predictor(student_bundle, CPU).segment([balls()], Point((10.0, 12.0, 17.0)))
    assert at(result.labels, (10, 12, 10)) == 2
    assert any("3.0 mm away" in notice for notice in result.notices)


def test_a_point_farther_than_the_reach_is_refused() -> None:
    labels = sitk.Image(30, 5, 5, sitk.sitkUInt8)
    labels[0:2, 1:4, 1:4] = 1
    beside = NEAREST_MM + 1  # from the structure's last voxel, x = 1
    near = Point((-beside, -2.0, 2.0))
    assert keep_structure(labels, near, False)[1] is not None
    with pytest.raises(RegionError, match="no structure within 5 mm"):
        keep_structure(labels, Point((-beside - 1, -2.0, 2.0)), False)


def test_an_empty_result_round_a_point_is_refused(student_bundle: Bundle) -> None:
    with pytest.raises(RegionError, match="no structure"):
        found(student_bundle, balls(), Point((20.0, 3.0, 3.0)))


@pytest.mark.parametrize("point", [(50.0, 12.0, 10.0), (10.0, -1.0, 10.0), (10.0, 12.0, 900.0)])
def test_a_point_outside_the_image_is_refused(
    point: tuple[float, float, float], student_bundle: Bundle
) -> None:
    with pytest.raises(RegionError, match="outside the image") as caught:
        found(student_bundle, balls(), Point(point))
    assert caught.value.remedy


def test_a_box_gives_labels_inside_it_only(student_bundle: Bundle) -> None:
    image = balls()
    labels = found(student_bundle, image, Box((24.0, 4.0, 8.0), (36.0, 20.0, 16.0)))
    assert Geometry.of(labels) == Geometry.of(image)
    wanted = np.where(array(image) > 0, 2, 0)
    wanted[:8] = 0
    wanted[:, :, :24] = 0
    np.testing.assert_array_equal(array(labels), wanted)


def test_the_corners_of_a_box_may_be_given_either_way_round(student_bundle: Bundle) -> None:
    image, description = balls(), student_bundle.description
    lower, upper = (24.0, 4.0, 8.0), (36.0, 20.0, 16.0)
    one = choose_block(image, description, Box(lower, upper))
    assert one == choose_block(image, description, Box(upper, lower))


def test_a_box_that_reaches_over_the_edge_is_cut_there(student_bundle: Bundle) -> None:
    block = choose_block(
        balls(), student_bundle.description, Box((-50.0, 4.0, -9.0), (8.0, 99.0, 12.0))
    )
    assert block == ((0, 4, 0), (9, 20, 13))


def test_a_box_outside_the_image_is_refused(student_bundle: Bundle) -> None:
    with pytest.raises(RegionError, match="outside the image"):
        found(student_bundle, balls(), Box((60.0, 0.0, 0.0), (70.0, 9.0, 9.0)))


def test_maps_of_a_region_are_zero_outside_of_it(student_bundle: Bundle) -> None:
    settings = Settings(device="cpu", threads=1, probabilities=True, uncertainty=True)
    image = balls()
    result = Predictor(student_bundle, settings).segment(
        [image], Box((24.0, 4.0, 8.0), (36.0, 20.0, 16.0))
    )
    assert result.probabilities is not None
    assert Geometry.of(result.probabilities) == Geometry.of(image)
    total = array(result.probabilities).sum(axis=-1)
    np.testing.assert_allclose(total[8:17, 4:21, 24:37], 1.0, atol=1e-5)
    total[8:17, 4:21, 24:37] = 0
    assert (total == 0).all()


def test_a_crop_model_refuses_a_whole_volume_and_says_what_to_do(crop_bundle: Bundle) -> None:
    image, _ = phantom((80, 70, 60))
    with pytest.raises(RegionError, match="80 x 70 x 60 mm") as caught:
        found(crop_bundle, image)
    assert "--point" in caught.value.remedy


def test_a_crop_model_refuses_a_region_much_larger_than_its_crop(crop_bundle: Bundle) -> None:
    image, _ = phantom((80, 70, 60))
    with pytest.raises(RegionError, match="The region"):
        found(crop_bundle, image, Box((-70.0, -60.0, 0.0), (0.0, 0.0, 50.0)))


@pytest.mark.parametrize("size", [(24, 24, 24), (36, 36, 36), (20, 36, 12)])
def test_an_image_that_is_itself_about_such_a_crop_is_taken_whole(
    size: tuple[int, int, int], crop_bundle: Bundle
) -> None:
    image, truth = phantom(size)
    np.testing.assert_array_equal(array(found(crop_bundle, image)), array(truth))


def test_the_tolerance_of_a_crop_is_judged_axis_by_axis(crop_bundle: Bundle) -> None:
    extent = crop_bundle.description.field_of_view.extent_mm
    assert extent is not None
    just, over = int(extent[0] * CROP_TOLERANCE), int(extent[0] * CROP_TOLERANCE) + 1
    whole = choose_block(phantom((just, 9, 9))[0], crop_bundle.description, None)
    assert whole == ((0, 0, 0), (just, 9, 9))
    with pytest.raises(RegionError, match="trained on boxes"):
        choose_block(phantom((over, 9, 9))[0], crop_bundle.description, None)


def test_a_crop_keeps_both_parts_of_the_structure_under_the_point(crop_bundle: Bundle) -> None:
    image, truth = phantom((24, 24, 24))
    padded = sitk.ConstantPad(image, [30, 10, 20], [20, 30, 10], 0)
    centre = padded.TransformContinuousIndexToPhysicalPoint([41.0, 21.0, 31.0])
    labels = found(crop_bundle, padded, Point((-centre[0], -centre[1], centre[2])))
    inside = array(labels)[20:44, 10:34, 30:54]
    np.testing.assert_array_equal(inside, array(truth))
    assert int((array(labels) > 0).sum()) == int((inside > 0).sum())


@pytest.mark.parametrize("region", [Point((0.0, 0.0, 0.0)), Box((0.0,) * 3, (5.0,) * 3)])
def test_a_picture_has_no_regions(region: Region, picture_bundle: Bundle) -> None:
    with pytest.raises(RegionError, match="2-D"):
        found(picture_bundle, phantom((20, 20), (1.0, 1.0))[0], region)


def test_the_box_round_a_point_follows_the_axes_as_they_are_stored(tmp_path: Path) -> None:
    """Without a spacing of its own the model's patch covers as many voxels, axis by axis."""
    bundle = tiny_student(tmp_path / "native", grid=Grid(3, None))
    image, _ = phantom((60, 60, 60), (0.5, 1.0, 2.0))
    stored = sitk.PermuteAxes(image, [2, 0, 1])
    for one in (image, stored):
        centre = one.TransformContinuousIndexToPhysicalPoint([29.5, 29.5, 29.5])
        block = choose_block(one, bundle.description, Point((-centre[0], -centre[1], centre[2])))
        assert block[1] == (16, 16, 16)


def bars() -> sitk.Image:
    """0, 100 and 200 side by side along x, mean 100, deviation 50; only all of it shows that."""
    array = np.repeat([0, 100, 200], [8, 48, 8]).astype(np.int16)
    return sitk.GetImageFromArray(np.tile(array, (4, 4, 1)))


@pytest.mark.parametrize(
    "region", [Box((-63.0, -3.0, 0.0), (-58.0, 0.0, 3.0)), Point((-60.0, -2.0, 2.0))]
)
def test_a_part_is_labelled_as_in_the_whole_image(region: Region, tmp_path: Path) -> None:
    channel = Channel("T1", "MR", Normalisation("zscore"))
    bundle = tiny_student(tmp_path / "zscore", channels=(channel,))
    whole, part = (array(found(bundle, bars(), where)) for where in (None, region))
    assert set(np.unique(whole[:, :, 56:])) == {2}
    assert set(np.unique(part[:, :, 58:])) == {2}
    np.testing.assert_array_equal(part[part > 0], whole[part > 0])


def test_a_model_of_whole_images_sees_half_its_patch_round_a_block(
    student_bundle: Bundle, crop_bundle: Bundle
) -> None:
    image = phantom((60, 50, 40), (1.0, 2.0, 0.5))[0]  # the patch is 16 mm wide
    block = ((20, 1, 2), (5, 6, 30))
    seen = with_context(image, student_bundle.description, block)
    assert seen == ((12, 0, 0), (21, 11, 40))
    assert with_context(image, crop_bundle.description, block) == block


def oblique() -> sitk.Image:
    image = sitk.Image(20, 18, 16, sitk.sitkInt16) + 200
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.4, -0.3, 0.6)
    image.SetDirection(turn.GetMatrix())
    image.SetOrigin((3.0, -5.0, 8.0))
    return image


def ras_of(image: sitk.Image) -> np.ndarray:
    """[z, y, x, 3]: where the voxels' centres are."""
    x, y, z = image.GetSize()
    points = [
        image.TransformIndexToPhysicalPoint((i, j, k))
        for k in range(z)
        for j in range(y)
        for i in range(x)
    ]
    return np.reshape(points, (z, y, x, 3)) * (-1, -1, 1)


def test_in_an_oblique_image_labels_fill_the_box_and_nothing_else(student_bundle: Bundle) -> None:
    image = oblique()
    centre = ras_of(image)[8, 9, 10]
    half = np.array((6.2, 4.3, 3.4))
    box = Box(tuple(centre - half), tuple(centre + half))
    wanted = (np.abs(ras_of(image) - centre) <= half).all(axis=-1)
    assert wanted.sum() > 500
    np.testing.assert_array_equal(array(found(student_bundle, image, box)) > 0, wanted)


def test_a_box_may_have_axes_of_its_own(student_bundle: Bundle) -> None:
    """Here those of the image, so that it is a block of voxels."""
    image = oblique()
    to_ras = np.eye(4)
    to_ras[:3, :3] = np.diag((-1, -1, 1)) @ np.reshape(image.GetDirection(), (3, 3))
    to_ras[:3, 3] = np.array(image.GetOrigin()) * (-1, -1, 1)
    box = Box((4.0, 3.0, 2.0), (11.0, 9.0, 5.0), tuple(to_ras.ravel().tolist()))
    wanted = np.zeros((16, 18, 20), bool)
    wanted[2:6, 3:10, 4:12] = True
    np.testing.assert_array_equal(inside(image, box), wanted)
    np.testing.assert_array_equal(array(found(student_bundle, image, box)) > 0, wanted)


def test_a_box_without_a_volume_is_refused(student_bundle: Bundle) -> None:
    flat = Box((0.0,) * 3, (9.0,) * 3, tuple(np.diag((1.0, 0.0, 1.0, 1.0)).ravel().tolist()))
    with pytest.raises(RegionError, match="flat"):
        found(student_bundle, oblique(), flat)
