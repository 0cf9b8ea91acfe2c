"""What scripts may rely on: the public signatures, and the examples in the documentation."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import fields

import pytest
import slicer

from KDSegmentationLogic.scene import layouts, logic, results, state
from KDSegmentationLogic.scene.logic import SceneLogic
from KDSegmentationLogic.scene.tasks import Task
from KDSegmentationLogic.scene.volumes import volume_from_image
from Testing.making import LABELS, phantom, tiny_crop_student

# Parameters in their order, which scripts may give by place.
SIGNATURES = {
    "models": "",
    "problems": "",
    "process": "volumes model point roi name settings monitor waitForCompletion onDone replace",
    "compare": "volumes first second point roi settings monitor waitForCompletion onDone",
    "pick": "volumes model point segmentation settings waitForCompletion onDone",
    "unpick": "segmentation point",
    "predict": "volumes model point roi settings monitor",
    "warm": "model settings",
    "tasks": "",
    "cancel": "task",
    "poll": "",
    "close": "",
}
REQUIRED = {"process": 2, "compare": 3, "pick": 3, "unpick": 2, "predict": 2, "warm": 1}


def test_every_public_method_has_the_signature_that_scripts_rely_on():
    found = {
        name: " ".join(list(inspect.signature(method).parameters)[1:])
        for name, method in inspect.getmembers(SceneLogic, inspect.isfunction)
        if not name.startswith("_")
    }
    assert found == SIGNATURES


@pytest.mark.parametrize(("name", "count"), REQUIRED.items())
def test_only_the_first_parameters_must_be_given(name, count):
    parameters = list(inspect.signature(getattr(SceneLogic, name)).parameters.values())[1:]

    assert [one.default is inspect.Parameter.empty for one in parameters] == [
        place < count for place in range(len(parameters))
    ]


def test_process_and_compare_wait_unless_told_not_to():
    for name in ("process", "compare"):
        assert inspect.signature(getattr(SceneLogic, name)).parameters["waitForCompletion"].default


def test_every_public_method_is_documented():
    members = inspect.getmembers(SceneLogic, inspect.isfunction)
    for module in (results, layouts, state):
        members += inspect.getmembers(module, inspect.isfunction)
    assert [name for name, one in members if not name.startswith("_") and not one.__doc__] == []


def test_a_task_has_what_the_panels_show():
    task = Task("title")

    assert (task.state, task.fraction, task.seconds_left, task.error) == (
        "waiting",
        0.0,
        None,
        None,
    )
    assert (task.notices, task.node_ids, task.nodes, task.ended) == ([], (), [], False)


def test_the_fields_of_the_state_keep_their_names_since_saved_scenes_have_them():
    assert " ".join(field.name for field in fields(state.ModuleState)) == (
        "model volumes queue region roi device engine threads memory_limit_gib replace result"
        " picked surfaces smoothing compared_with second_model reference comparison side_by_side"
        " orientation save_as collapsed"
    )


def examples() -> str:
    """The indented blocks of the documentation, one after another."""
    blocks = re.findall(r"(?:^    .*\n?)+(?:\n(?:^    .*\n)+)*", logic.__doc__, re.MULTILINE)
    return "\n".join(textwrap.dedent(block) for block in blocks)


def test_the_examples_of_the_documentation_run(tmp_path, monkeypatch):
    scene_logic = SceneLogic(worker=False)
    made = tiny_crop_student(tmp_path / "student", labels=LABELS)
    text = examples()
    assert text.count("logic.") >= 8
    for name in ("HippocampusMR-student", "HippocampusMR-ensemble"):
        text = text.replace(f'"{name}"', "model")
    # The examples' positions are those of a head; here they are those of the phantom.
    text = text.replace("(26, -21, -17)", "point").replace("(-26, -21, -17)", "point")
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda _name: scene_logic)
    volume = volume_from_image(phantom()[0], "head")
    names = {
        "slicer": slicer,
        "volume": volume,
        "volumes": [volume, volume],
        "model": str(made.folder),
        "point": (-12.0, -10.0, 8.0),
    }

    exec(compile(text, "examples", "exec"), names)

    assert names["segmentation"].IsA("vtkMRMLSegmentationNode")
    assert [task.state for task in names["tasks"]] == ["done", "done"]
    assert names["nodes"].disagreement.IsA("vtkMRMLSegmentationNode")
    assert names["picked"].GetSegmentation().GetNumberOfSegments() == 0
