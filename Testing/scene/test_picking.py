"""Clicks add structures, take them away, and never touch what the user did."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.errors import RegionError, SceneError
from KDSegmentationLogic.scene import files, sides
from KDSegmentationLogic.scene.logic import SceneLogic
from KDSegmentationLogic.scene.volumes import volume_from_image
from Testing.making import phantom, tiny_crop_student
from Testing.scene import cases

PLACES = ((4, 10, 8), (64, 10, 8))  # first voxels of two phantoms; the first is on the right


@pytest.fixture(scope="module")
def logic() -> SceneLogic:
    return SceneLogic(worker=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A crop student whose structure has the parts ``Hippocampus head`` and ``Hippocampus``."""
    labels = (Label(1, "Hippocampus head", (200, 0, 0)), Label(2, "Hippocampus", (0, 0, 200)))
    folder = tmp_path_factory.mktemp("bundles") / "paired"
    return str(tiny_crop_student(folder, labels=labels).folder)


@pytest.fixture
def volume() -> slicer.vtkMRMLScalarVolumeNode:
    """Two phantoms in air."""
    return volume_from_image(two_phantoms(), "head")


def two_phantoms(body: int = 0) -> sitk.Image:
    small, _ = phantom()
    image = sitk.Image((92, 40, 32), sitk.sitkInt16)
    for place in PLACES:
        image = sitk.Paste(image, small, small.GetSize(), [0, 0, 0], place)
    return image + body


def click(number: int) -> tuple[float, float, float]:
    """World RAS mm of the middle of a phantom; ITK's x points left."""
    x, y, z = np.add(PLACES[number], (12, 10, 8)).tolist()
    return (-x, -y, z)


def names(node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetSegment(i).GetName() for i in segmentation.GetSegmentIDs()]


def pick(logic, volume, model, point, node=None):
    return logic.pick(volume, model, point, node, waitForCompletion=True)


def test_a_click_makes_a_segmentation_of_the_structure_under_it_alone(logic, volume, model):
    node = pick(logic, volume, model, click(0))

    centre = cases.segment_centroid_in_world(node, "label_1")
    assert node.GetSegmentation().GetNumberOfSegments() == 2
    assert abs(centre[0] - click(0)[0]) < 12


def test_a_second_click_adds_and_both_are_named_by_the_side_they_are_on(logic, volume, model):
    node = pick(logic, volume, model, click(1))

    again = pick(logic, volume, model, click(0), node)

    assert again is node
    assert sorted(names(node)) == [
        "Left hippocampus",
        "Left hippocampus head",
        "Right hippocampus",
        "Right hippocampus head",
    ]
    first = node.GetSegmentation().GetSegment("label_2")
    assert cases.segment_centroid_in_world(node, "label_2")[0] < -46
    assert first.GetName() == "Left hippocampus"


def test_a_click_on_a_picked_structure_replaces_it(logic, volume, model):
    node = pick(logic, volume, model, click(0))

    again = pick(logic, volume, model, np.add(click(0), (1, 1, 0)), node)

    assert again.GetSegmentation().GetNumberOfSegments() == 2


def test_after_an_edit_nothing_of_the_segmentation_is_replaced(logic, volume, model):
    node = pick(logic, volume, model, click(0))
    segment = node.GetSegmentation().GetSegment("label_1")
    layer = segment.GetRepresentation("Binary labelmap")
    layer.GetPointData().GetScalars().SetTuple1(0, 1)

    pick(logic, volume, model, click(0), node)

    assert node.GetSegmentation().GetNumberOfSegments() == 4
    assert segment.GetRepresentation("Binary labelmap") is layer


def test_a_click_takes_away_all_parts_of_the_structure_under_it(logic, volume, model):
    node = pick(logic, volume, model, click(0))
    pick(logic, volume, model, click(1), node)

    gone = logic.unpick(node, click(0))

    assert len(gone) == 2
    assert all(cases.segment_centroid_in_world(node, i)[0] < -46
               for i in node.GetSegmentation().GetSegmentIDs())  # fmt: skip


def test_a_click_far_from_any_picked_structure_takes_nothing_away(logic, volume, model):
    node = pick(logic, volume, model, click(0))

    with pytest.raises(SceneError, match="within 5 mm"):
        logic.unpick(node, click(1))

    assert node.GetSegmentation().GetNumberOfSegments() == 2


def test_a_segment_that_the_user_drew_is_not_taken_away(logic, volume, model):
    node = pick(logic, volume, model, click(0))
    drawn = node.GetSegmentation().AddEmptySegment("mine", "mine")
    node.GetSegmentation().GetSegment(drawn).DeepCopy(node.GetSegmentation().GetSegment("label_1"))
    node.GetSegmentation().GetSegment(drawn).RemoveTag("KDSegmentation.Structure")

    logic.unpick(node, click(0))

    assert list(node.GetSegmentation().GetSegmentIDs()) == ["mine"]


def test_a_click_beside_a_structure_takes_the_nearest_one_and_says_so(logic, volume, model):
    point = np.subtract(click(0), (0, 0, 8))  # the phantom ends 5.7 mm below its middle

    task = logic.pick(volume, model, point)

    assert task.state == "done"
    assert any("lies on background" in notice for notice in task.notices)


def test_a_click_on_nothing_says_so_and_leaves_the_scene(logic, volume, model):
    before = slicer.mrmlScene.GetNumberOfNodes()

    task = logic.pick(volume, model, (-46.0, -20.0, 16.0))

    assert isinstance(task.error, RegionError)
    assert "5 mm" in str(task.error)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_segmentation_of_another_volume_is_left_alone(logic, volume, model):
    node = pick(logic, volume, model, click(0))
    other = volume_from_image(two_phantoms(), "other")

    task = logic.pick(other, model, click(1), node)

    assert task.nodes[0] is not node
    assert "belongs to another volume" in task.notices[-1]
    assert node.GetSegmentation().GetNumberOfSegments() == 2


def test_picked_structures_can_be_taken_away_after_save_and_load(logic, volume, model, tmp_path):
    node = pick(logic, volume, model, click(0))
    pick(logic, volume, model, click(1), node)
    name = node.GetName()

    files.save_scene(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear()
    files.load_scene(tmp_path / "scene.mrb")
    node = slicer.util.getNode(name)
    volume = slicer.util.getNode("head")
    pick(logic, volume, model, click(1), node)
    gone = logic.unpick(node, click(1))

    assert sorted(gone) == ["Left hippocampus", "Left hippocampus head"]
    assert sorted(names(node)) == ["Right hippocampus", "Right hippocampus head"]


def head(cut: bool = False) -> slicer.vtkMRMLScalarVolumeNode:
    """A bright ball of 140 mm in air, on 2 mm voxels, its middle at RAS x = 10 mm."""
    z, y, x = np.ogrid[:80, :80, :90]
    array = (((x - 45) ** 2 + (y - 40) ** 2 + (z - 40) ** 2) < 35**2).astype(np.float32) * 100
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((2, 2, 2))
    image.SetOrigin((-100, -80, -80))
    return volume_from_image(image[50:] if cut else image, "head")


def test_the_side_is_that_of_the_heads_middle_in_the_world():
    volume = head()

    assert sides.midline(volume, 0.0) == pytest.approx(10, abs=2)
    assert sides.side_of(volume, np.array([30.0, 0, 0])) == "Right"
    assert sides.side_of(volume, np.array([-10.0, 0, 0])) == "Left"
    assert sides.side_of(volume, np.array([11.0, 0, 0])) is None


def test_a_head_that_is_turned_round_by_its_transform_is_judged_as_it_is_seen():
    volume = head()
    cases.put_under(volume, np.diag([-1.0, -1.0, 1.0, 1.0]))

    assert sides.midline(volume, 0.0) == pytest.approx(-10, abs=2)


def test_an_image_that_shows_one_side_only_has_no_midline():
    assert sides.midline(head(cut=True), 0.0) is None


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Hippocampus", True),
        ("kidney", True),
        ("kidney_left", False),
        ("lh-hippocampus", False),
        ("Left hippocampus", False),
        ("Liver", False),
        ("Posterior part", False),
    ],
)
def test_a_side_is_given_to_what_comes_in_pairs_and_has_none(name, wanted):
    assert sides.wants_side(Label(1, name, (0, 0, 0))) is wanted


def test_the_codes_say_what_comes_in_pairs_and_get_the_side():
    label = cases.LABELS[0]  # "Anterior", coded as a hippocampus

    sided = sides.sided(label, "Left")

    assert sides.wants_side(label)
    assert not sides.wants_side(cases.LABELS[1])  # coded as left already
    assert sided.name == "Left anterior"
    assert sided.terminology.modifier == cases.LEFT


def test_the_midline_follows_the_volume_and_its_voxels():
    volume = head()
    before = sides.midline(volume, 0.0)

    cases.put_under(volume, np.array([[1.0, 0, 0, 50], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    moved = sides.midline(volume, 0.0)
    array = slicer.util.arrayFromVolume(volume)
    array[:] = 0
    slicer.util.arrayFromVolumeModified(volume)

    assert moved == pytest.approx(before + 50)
    assert sides.midline(volume, 0.0) is None
