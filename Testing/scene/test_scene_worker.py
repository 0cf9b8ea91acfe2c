"""The scene with the real worker: results, deaths of the child, closing scenes, the end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import SimpleITK as sitk
import slicer

from KDSegmentationLogic.scene.logic import SceneLogic
from KDSegmentationLogic.scene.segmentations import labels_from_segmentation
from KDSegmentationLogic.scene.tables import rows_from_table
from KDSegmentationLogic.scene.volumes import volume_from_image
from Testing.making import phantom

DEADLINE = 120.0  # s; a child that starts imports torch


@pytest.fixture(scope="module")
def logic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SceneLogic]:
    """One worker for all tests; its temporary files in a folder of their own."""
    before = tempfile.tempdir
    tempfile.tempdir = str(tmp_path_factory.mktemp("temporary"))
    logic = SceneLogic()
    yield logic
    logic.close()
    tempfile.tempdir = before


@pytest.fixture
def volume() -> slicer.vtkMRMLScalarVolumeNode:
    return volume_from_image(phantom()[0], "head")


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def until(logic: SceneLogic, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline
        logic.poll()
        time.sleep(0.002)


def test_the_worker_gives_what_this_process_gives(logic, volume, student_bundle):
    node = logic.process(volume, str(student_bundle.folder))

    labels, _ = labels_from_segmentation(node, volume)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(labels), sitk.GetArrayFromImage(phantom()[1])
    )


def test_a_comparison_says_what_each_run_took(logic, volume, student_bundle, ensemble_bundle):
    nodes = logic.compare(volume, str(student_bundle.folder), str(ensemble_bundle.folder))

    runs = rows_from_table(nodes.tables[1])
    assert all(run["peak memory (GiB)"] > 0 and run["seconds"] > 0 for run in runs)
    assert nodes.uncertainty is not None


def test_a_killed_worker_fails_its_task_in_words_and_the_next_click_works(
    logic, volume, crop_bundle
):
    logic.warm(str(crop_bundle.folder))
    until(logic, lambda: not logic.busy)
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    for child in children():
        child.suspend()  # else it might be done before it is killed
    killed = logic.pick(volume, str(crop_bundle.folder), (-12, -10, 8))
    for child in children():
        child.kill()
    until(logic, lambda: killed.ended)
    left = slicer.mrmlScene.GetNumberOfNodes()

    clicked = logic.pick(volume, str(crop_bundle.folder), (-12, -10, 8))
    until(logic, lambda: clicked.ended)

    assert (killed.state, left) == ("failed", nodes)
    assert killed.error.remedy
    assert clicked.state == "done"


def test_a_scene_that_is_closed_in_mid_run_gets_nothing(logic, volume, student_bundle):
    tasks = [
        logic.process(volume, str(student_bundle.folder), waitForCompletion=False) for _ in range(2)
    ]

    slicer.mrmlScene.Clear()
    until(logic, lambda: not logic.busy)

    assert [task.state for task in tasks] == ["cancelled", "cancelled"]
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_closing_leaves_no_process_and_no_file_and_the_logic_can_be_used_again(
    volume, student_bundle, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = {child.pid for child in children()}
    logic = SceneLogic()
    task = logic.process(volume, str(student_bundle.folder), waitForCompletion=False)

    logic.close()

    assert {child.pid for child in children()} == before
    assert task.state == "cancelled"
    assert list(Path(tmp_path).iterdir()) == []
