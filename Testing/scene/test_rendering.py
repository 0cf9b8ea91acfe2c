"""Pictures show the right structures at the right place and leave the scene as it was."""

from __future__ import annotations

import ctypes
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from matplotlib.image import imread

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.errors import DependencyError
from KDSegmentationLogic.scene import comparison, rendering, segmentations, volumes
from KDSegmentationLogic.scene.rendering import Shown
from Testing.scene import cases

ORANGE = (255, 150, 0)
SIZE, WIDTH = (240, 200), 60.0


@pytest.fixture(autouse=True)
def _opengl() -> None:
    possible, reason = rendering.can_render()
    if not possible:
        pytest.skip(reason)


def scene(
    parent: np.ndarray | None = None, color: tuple[int, int, int] = ORANGE, shift: int = 0
) -> tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLSegmentationNode, np.ndarray]:
    """A grey volume, a block off its middle, and where the block's middle is in the world."""
    grey = np.full((40, 40, 40), 100, np.uint8)
    grey[0] = 200
    image = sitk.GetImageFromArray(grey)
    image.SetOrigin((-20, -20, -20))
    volume = volumes.volume_from_image(image, "t1")
    matrices = [] if parent is None else [parent]
    cases.put_under(volume, *matrices)
    labels = image * 0
    labels[8 + shift : 18 + shift, 22:30, 26:32] = 1
    node = segmentations.segmentation_from_labels(labels, [Label(1, "Block", color)], volume, "s")
    return volume, node, cases.centroid_in_world(labels, 1, *matrices)


def orange(picture: np.ndarray) -> np.ndarray:
    """[n, 2] rows and columns of the pixels that are more orange than grey."""
    red, _, blue = np.moveaxis(picture.astype(int), -1, 0)
    return np.argwhere(red - blue > 40)


@pytest.mark.parametrize(
    ("orientation", "axes"),
    [("Axial", (-1, 2)), ("Coronal", (-1, 3)), ("Sagittal", (-2, 3))],
)
def test_a_structure_appears_where_it_is_in_the_world(
    orientation: rendering.Orientation, axes: tuple[int, int]
) -> None:
    turned = np.array([[0.0, -1, 0, 5], [1, 0, 0, -8], [0, 0, -1, 3], [0, 0, 0, 1]])
    volume, node, middle = scene(turned)
    eye = middle - (4.0, 3.0, 2.0)

    picture = rendering.render_slice(volume, [Shown(node, fill=1.0)], eye, orientation, WIDTH, SIZE)

    # Patient left, or posterior, is on the right; row 0 is at the top.
    offset = np.array([np.sign(axis) * (middle - eye)[abs(axis) - 1] for axis in axes])
    expected = np.array(SIZE) / 2 + offset * (1, -1) * SIZE[0] / WIDTH
    row, column = orange(picture).mean(axis=0) + 0.5
    assert (column, row) == pytest.approx(tuple(expected), abs=1.0)


def test_an_outline_leaves_the_inside_of_a_structure_grey() -> None:
    volume, node, middle = scene()

    outlined = rendering.render_slice(volume, [Shown(node)], middle, "Axial", WIDTH, SIZE)
    filled = rendering.render_slice(volume, [Shown(node, fill=0.5)], middle, "Axial", WIDTH, SIZE)

    centre = (SIZE[1] // 2, SIZE[0] // 2)
    assert np.ptp(outlined[centre].astype(int)) == 0
    # Half of orange over the grey below it: blending with black would be darker.
    below = outlined[centre][0]
    assert filled[centre].astype(float) == pytest.approx((below + np.array(ORANGE)) / 2, abs=3)
    assert 0 < len(orange(outlined)) < len(orange(filled))


def test_only_the_segmentations_that_were_asked_for_are_drawn() -> None:
    volume, node, middle = scene()

    assert not len(orange(rendering.render_slice(volume, [], middle, "Axial", WIDTH, SIZE)))
    assert not len(orange(rendering.render_3d([], middle, WIDTH, size=SIZE)))
    assert len(orange(rendering.render_3d([Shown(node)], middle, WIDTH, size=SIZE)))


def test_a_surface_is_drawn_to_scale() -> None:
    _, node, middle = scene()

    picture = rendering.render_3d([Shown(node)], middle, WIDTH, direction=(0, 1, 0), size=SIZE)

    rows, columns = orange(picture).T
    pixels_per_mm = SIZE[0] / WIDTH
    # Marching cubes and smoothing take up to a voxel.
    assert np.ptp(columns) / pixels_per_mm == pytest.approx(10, abs=1.2)
    assert np.ptp(rows) / pixels_per_mm == pytest.approx(6, abs=1.2)
    assert columns.mean() == pytest.approx(SIZE[0] / 2, abs=2)


def test_a_see_through_surface_can_be_seen() -> None:
    _, node, middle = scene()

    solid = rendering.render_3d([Shown(node)], middle, WIDTH, size=SIZE).astype(int)
    clear = rendering.render_3d([Shown(node, surface=0.4)], middle, WIDTH, size=SIZE).astype(int)

    centre = (SIZE[1] // 2, SIZE[0] // 2)
    background = solid[0, 0, 0]
    assert background + 20 < clear[centre][0] < solid[centre][0] - 20


def test_the_scene_is_left_as_it_was() -> None:
    volume, node, middle = scene()
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(0.37)
    display.SetVisibility(False)
    names = [slicer.mrmlScene.GetNthNode(n).GetID() for n in range(_count())]

    rendering.render_slice(volume, [Shown(node)], middle, "Coronal", WIDTH, SIZE)
    rendering.render_3d([Shown(node)], middle, WIDTH, size=SIZE)

    assert [slicer.mrmlScene.GetNthNode(n).GetID() for n in range(_count())] == names
    assert display.GetOpacity2DFill() == 0.37
    assert not display.GetVisibility()
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")


def _count() -> int:
    return slicer.mrmlScene.GetNumberOfNodes()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere OpenGL is there")
def test_without_opengl_a_picture_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    volume, node, middle = scene()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.delenv("DISPLAY", raising=False)

    assert rendering.can_render()[0] is False
    with pytest.raises(DependencyError, match="libegl1"):
        rendering.render_slice(volume, [Shown(node)], middle, "Axial", WIDTH, SIZE)


def test_the_comparison_marks_the_difference_and_leaves_the_scene_as_it_was(
    tmp_path: Path,
) -> None:
    volume, student, _ = scene()
    ensemble = scene(shift=2)[1]
    before = _count()

    comparison.side_by_side(
        volume,
        comparison.Result(student, "Student", 0.4, {"Block": 0.8}),
        comparison.Result(ensemble, "Ensemble of 5", 3.1, {"Block": 0.9}),
        tmp_path / "new" / "comparison.png",
    )

    picture = imread(tmp_path / "new" / "comparison.png")[..., :3] * 255
    pink = np.abs(picture - comparison.DIFFERENCE_COLOR).max(axis=-1) < 50
    third = picture.shape[1] * 2 // 3
    above_the_legend = pink[:-60]
    assert above_the_legend[:, third:].sum() > 500
    assert not above_the_legend[:, :third].any()
    assert _count() == before


def test_a_comparison_of_two_empty_results_is_still_a_picture(tmp_path: Path) -> None:
    volume, node, _ = scene()
    empty = segmentations.labels_from_segmentation(node, volume)[0] * 0
    labels = [Label(1, "Block", ORANGE)]
    results = [
        comparison.Result(segmentations.segmentation_from_labels(empty, labels, volume, name), name)
        for name in ("Student", "Ensemble")
    ]

    comparison.side_by_side(volume, *results, tmp_path / "empty.png", orientations=("Coronal",))

    assert imread(tmp_path / "empty.png").shape[0] < 1000


def test_two_empty_results_of_a_large_volume_are_compared_in_little_memory(tmp_path: Path) -> None:
    grey = sitk.Image([160, 160, 160], sitk.sitkUInt8)
    volume = volumes.volume_from_image(grey, "large")
    labels = [Label(1, "Block", ORANGE)]
    results = [
        comparison.Result(segmentations.segmentation_from_labels(grey, labels, volume, name), name)
        for name in ("Student", "Ensemble")
    ]

    tracemalloc.start()
    comparison.side_by_side(volume, *results, tmp_path / "empty.png", orientations=("Axial",))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    # NumPy's arrays are counted, VTK's and SimpleITK's are not.
    assert peak < 20 * 160**3
