"""Tasks: a queue that never waits, results put in place or dropped, nothing left of failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from KDSegmentationLogic.errors import Cancelled, DeviceError, KDSegError, RegionError
from KDSegmentationLogic.scene import queue
from KDSegmentationLogic.scene.logic import SceneLogic
from KDSegmentationLogic.scene.segmentations import labels_from_segmentation
from KDSegmentationLogic.scene.volumes import volume_from_image
from Testing.making import phantom
from Testing.scene import cases


@dataclass(eq=False)
class SlowJob:
    """A job that ends when the test says so."""

    images: Any = None
    state: str = "running"
    fraction: float = 0.0
    text: str = "segmenting"
    seconds_left: float | None = None
    notices: list[str] = field(default_factory=list)
    result: Any = None
    error: KDSegError | None = None


@dataclass
class Answer:
    labels: sitk.Image
    entropy: sitk.Image | None = None
    device: str = "cpu"
    engine: str = "torch"
    seconds: dict[str, float] = field(default_factory=lambda: {"predict": 1.5})
    peak_memory_gib: float = 0.25


class SlowClient:
    """A worker's client whose work is done by the test."""

    busy = False

    def __init__(self) -> None:
        self.jobs: list[SlowJob] = []
        self.cancelled: list[SlowJob] = []
        self.closed = 0
        self.regions: list[Any] = []
        self.while_waited: Any = None

    def segment(self, images: Any, _bundle: Any, region: Any, _settings: Any) -> SlowJob:
        self.regions.append(region)
        self.jobs.append(SlowJob(images))
        return self.jobs[-1]

    def poll(self) -> None:
        """Nothing arrives by itself."""

    def wait(self, job: SlowJob, tick: Any = None) -> None:
        if job not in self.cancelled:
            self.while_waited()
            tick()

    def cancel(self, job: SlowJob) -> None:
        self.cancelled.append(job)

    def close(self) -> None:
        self.closed += 1

    def answer(self, number: int = -1) -> None:
        """The job is done: voxels above 150 are label 2, those above 50 label 1."""
        job = self.jobs[number]
        image = job.images[0]
        labels = sitk.Cast(image > 50, sitk.sitkUInt8) + sitk.Cast(image > 150, sitk.sitkUInt8)
        job.result = Answer(labels, sitk.Cast(labels, sitk.sitkFloat32) * 0)
        job.state = "done"


@pytest.fixture
def client() -> SlowClient:
    return SlowClient()


@pytest.fixture
def logic(client: SlowClient) -> SceneLogic:
    logic = SceneLogic()
    logic._client = client
    return logic


@pytest.fixture
def volume() -> slicer.vtkMRMLScalarVolumeNode:
    return volume_from_image(phantom()[0], "head")


def count() -> int:
    return slicer.mrmlScene.GetNumberOfNodes()


def test_a_task_returns_at_once_and_its_node_comes_with_a_later_poll(
    logic, client, volume, student_bundle
):
    task = logic.process(volume, str(student_bundle.folder), waitForCompletion=False)
    logic.poll()
    before = task.state, task.nodes

    client.answer()
    logic.poll()

    assert before == ("running", [])
    assert task.state == "done"
    assert task.fraction == 1
    labels, _ = labels_from_segmentation(task.nodes[0], volume)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(labels), sitk.GetArrayFromImage(phantom()[1])
    )


def test_a_task_shows_how_far_it_is_and_what_the_worker_says(logic, client, volume, student_bundle):
    task = logic.process(volume, str(student_bundle.folder), waitForCompletion=False)
    job = client.jobs[0]

    job.fraction, job.text, job.seconds_left = 0.4, "windows", 3.0
    job.notices.append("Running on cpu.")
    logic.poll()
    logic.poll()

    assert (task.fraction, task.text, task.seconds_left) == (0.4, "windows", 3.0)
    assert task.notices == ["Running on cpu."]


def test_several_volumes_are_segmented_one_after_another(logic, client, student_bundle):
    volumes = [volume_from_image(phantom()[0], name) for name in ("a", "b", "c")]
    tasks = [
        logic.process(one, str(student_bundle.folder), waitForCompletion=False) for one in volumes
    ]
    states = []

    for number in range(3):
        states.append([task.state for task in tasks])
        assert len(client.jobs) == number + 1
        client.answer()
        logic.poll()

    assert states[1] == ["done", "running", "waiting"]
    assert [task.nodes[0].GetName() for task in tasks] == [
        f"{name} {student_bundle.name}" for name in "abc"
    ]
    assert logic.tasks() == []


def test_a_task_whose_volume_is_removed_is_dropped_and_the_next_one_runs(
    logic, client, volume, student_bundle
):
    other = volume_from_image(phantom()[0], "other")
    task, following = (
        logic.process(one, str(student_bundle.folder), waitForCompletion=False)
        for one in (volume, other)
    )

    slicer.mrmlScene.RemoveNode(volume)
    client.answer()
    logic.poll()

    assert task.state == "cancelled"
    assert task.text == "cancelled: head was removed from the scene"
    assert client.cancelled == [client.jobs[0]]
    assert following.state == "running"
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_a_scene_that_was_closed_gets_no_result_in_a_volume_of_the_same_id(
    logic, client, volume, student_bundle
):
    task = logic.process(volume, str(student_bundle.folder), waitForCompletion=False)
    node_id = volume.GetID()
    del volume

    slicer.mrmlScene.Clear()
    another = volume_from_image(phantom()[0], "another")
    client.answer()
    logic.poll()

    assert another.GetID() == node_id
    assert task.state == "cancelled"
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_a_cancelled_task_ends_at_once_and_its_result_is_dropped(
    logic, client, volume, student_bundle
):
    told = []
    before = count()
    task = logic.process(
        volume, str(student_bundle.folder), waitForCompletion=False, onDone=told.append
    )

    logic.cancel(task)
    client.answer()
    logic.poll()

    assert (task.state, told, count()) == ("cancelled", [task], before)
    assert client.cancelled == client.jobs


def test_a_waiting_task_can_be_cancelled_and_never_reaches_the_worker(
    logic, client, volume, student_bundle
):
    first, second = (
        logic.process(volume, str(student_bundle.folder), waitForCompletion=False) for _ in range(2)
    )

    logic.cancel(second)
    client.answer()
    logic.poll()

    assert (first.state, second.state, len(client.jobs)) == ("done", "cancelled", 1)


def test_a_failed_job_fails_its_task_with_its_error_and_leaves_the_scene(
    logic, client, volume, student_bundle
):
    before = count()
    task = logic.process(volume, str(student_bundle.folder), waitForCompletion=False)

    client.jobs[0].state, client.jobs[0].error = "failed", DeviceError("It broke.", "Try again.")
    logic.poll()

    assert (task.state, str(task.error), count()) == ("failed", "It broke. Try again.", before)


def test_what_fails_while_nodes_are_made_takes_them_away_again(
    logic, client, volume, student_bundle, monkeypatch
):
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("KDSegmentationLogic.scene.edits.mark", broken)
    before = count()
    task = logic.process(volume, str(student_bundle.folder), waitForCompletion=False)

    client.answer()
    logic.poll()

    assert (task.state, count()) == ("failed", before)
    assert "a bug" in str(task.error)


def test_an_argument_that_is_wrong_fails_the_task_where_nobody_waits(logic, volume):
    told = []

    task = logic.process(volume, "no such model", waitForCompletion=False, onDone=told.append)

    assert told == [task]
    assert (task.error.kind, task.state) == ("bundle", "failed")


def test_no_volume_is_refused_in_words(logic, student_bundle):
    with pytest.raises(KDSegError, match="No volume was chosen"):
        logic.process(None, str(student_bundle.folder))


def test_whoever_waits_gets_the_node(logic, client, volume, student_bundle):
    client.while_waited = client.answer

    node = logic.process(volume, str(student_bundle.folder))

    assert node.GetSegmentation().GetNumberOfSegments() == 2


def test_whoever_waits_is_told_that_the_volume_went(logic, client, volume, student_bundle):
    client.while_waited = lambda: slicer.mrmlScene.RemoveNode(volume)

    with pytest.raises(Cancelled):
        logic.process(volume, str(student_bundle.folder))


def test_an_interrupt_while_waiting_cancels_the_task(logic, client, volume, student_bundle):
    def interrupt() -> None:
        raise KeyboardInterrupt

    client.while_waited = interrupt

    with pytest.raises(KeyboardInterrupt):
        logic.process(volume, str(student_bundle.folder))

    assert logic.tasks() == []
    assert client.cancelled == client.jobs


def test_a_callback_may_ask_for_more_and_wait_for_it(logic, client, volume, student_bundle):
    client.while_waited = client.answer
    made = []

    logic.process(
        volume,
        str(student_bundle.folder),
        waitForCompletion=False,
        onDone=lambda _: made.append(logic.process(volume, str(student_bundle.folder))),
    )
    client.answer()
    logic.poll()

    assert len(made) == 1
    assert made[0].IsA("vtkMRMLSegmentationNode")


def test_the_region_is_taken_as_it_was_when_the_task_was_asked_for(
    logic, client, volume, student_bundle
):
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetSize(8, 8, 8)
    logic.process(volume, str(student_bundle.folder), waitForCompletion=False)
    logic.process(volume, str(student_bundle.folder), roi=roi, waitForCompletion=False)

    slicer.mrmlScene.RemoveNode(roi)
    client.answer()
    logic.poll()

    assert client.regions[1].upper == (4.0, 4.0, 4.0)


def test_closing_cancels_everything_and_ends_the_worker_once(logic, client, volume, student_bundle):
    tasks = [
        logic.process(volume, str(student_bundle.folder), waitForCompletion=False) for _ in range(2)
    ]

    logic.close()
    logic.close()

    assert [task.state for task in tasks] == ["cancelled", "cancelled"]
    assert client.closed == 1


def test_a_run_in_this_process_needs_no_worker(volume, student_bundle):
    logic = SceneLogic(worker=False)

    task = logic.process(volume, str(student_bundle.folder), waitForCompletion=False)

    assert task.state == "done"
    assert logic._client is None


def test_a_point_outside_the_volume_fails_in_words(volume, student_bundle):
    task = SceneLogic(worker=False).process(
        volume, str(student_bundle.folder), point=(900, 0, 0), waitForCompletion=False
    )

    assert isinstance(task.error, RegionError)


def test_a_volume_under_a_non_linear_transform_is_refused_in_one_sentence(
    logic, volume, student_bundle
):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    transform.SetAndObserveTransformFromParent(slicer.vtkOrientedBSplineTransform())
    volume.SetAndObserveTransformNodeID(transform.GetID())

    task = logic.process(volume, str(student_bundle.folder), waitForCompletion=False)

    assert "non-linear" in task.error.cause
    assert "Harden" in task.error.remedy


def test_the_node_made_lies_under_a_transform_that_came_during_the_run(
    logic, client, volume, student_bundle
):
    task = logic.process(volume, str(student_bundle.folder), waitForCompletion=False)

    cases.put_under(volume, np.diag([1.0, 1.0, 1.0, 1.0]))
    client.answer()
    logic.poll()

    assert task.nodes[0].GetTransformNodeID() == volume.GetTransformNodeID()


def test_a_failure_removes_only_the_nodes_that_came_with_it(volume):
    before = count()

    def fail() -> None:
        with queue.nothing_left_on_failure():
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()

    assert count() == before
    assert slicer.mrmlScene.GetNodeByID(volume.GetID()) is volume
