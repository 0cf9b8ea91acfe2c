"""What the panels show survives the scene's file, and nonsense in it does no harm."""

from __future__ import annotations

from dataclasses import replace

import pytest
import slicer

from KDSegmentationLogic.scene import files
from KDSegmentationLogic.scene.state import ModuleState, read_state, state_node, write_state
from KDSegmentationLogic.scene.volumes import volume_from_image
from Testing.scene import cases


def add(class_name: str) -> str:
    return slicer.mrmlScene.AddNewNodeByClass(class_name).GetID()


def full() -> ModuleState:
    """A state in which nothing has its default."""
    volumes = [volume_from_image(cases.image(), name).GetID() for name in ("t1", "flair", "next")]
    segmentations = [add("vtkMRMLSegmentationNode") for _ in range(6)]
    return ModuleState(
        model="student",
        volumes=(volumes[0], None, volumes[1]),
        queue=(volumes[2], volumes[1]),
        region="roi",
        roi=add("vtkMRMLMarkupsROINode"),
        device="cpu",
        engine="openvino",
        threads=2,
        memory_limit_gib=3.5,
        replace=True,
        result=segmentations[0],
        picked=segmentations[1],
        surfaces=True,
        smoothing=0.25,
        compared_with="reference",
        second_model="ensemble",
        reference=segmentations[2],
        comparison=(*segmentations[3:], add("vtkMRMLTableNode")),
        side_by_side=True,
        orientation="Coronal",
        save_as=".stl",
        collapsed=("compare", "setup"),
    )


def test_a_fresh_scene_has_the_defaults():
    assert read_state(state_node()) == ModuleState()


def test_there_is_one_node_of_the_state_in_a_scene():
    assert state_node() is state_node()
    assert state_node().GetModuleName() == "KDSegmentation"


def test_the_test_state_leaves_no_field_at_its_default():
    state, default = full(), ModuleState()

    assert [k for k in vars(default) if getattr(state, k) == getattr(default, k)] == []


def test_everything_comes_back():
    state = full()

    write_state(state_node(), state)

    assert read_state(state_node()) == state


def test_everything_survives_save_close_and_load(tmp_path):
    state = full()
    write_state(state_node(), state)

    files.save_scene(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear()
    cleared = read_state(state_node())
    files.load_scene(tmp_path / "scene.mrb")

    assert cleared == ModuleState()
    assert read_state(state_node()) == state


def test_nodes_that_are_removed_leave_the_state():
    state = full()
    write_state(state_node(), state)

    for node_id in (state.volumes[0], state.roi, state.comparison[0], state.queue[0]):
        slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetNodeByID(node_id))

    left = read_state(state_node())
    assert left.volumes == (None, None, state.volumes[2])
    assert left.roi is None
    assert left.comparison == ()  # a comparison with a part missing is none
    assert left.queue == state.queue[1:]


def test_values_can_be_taken_back_to_nothing():
    write_state(state_node(), full())

    write_state(state_node(), ModuleState())

    assert read_state(state_node()) == ModuleState()


def test_observers_hear_of_a_change_once_and_of_no_change_never():
    node, state = state_node(), ModuleState(model="student", smoothing=0.1)
    heard = []
    tag = node.AddObserver("ModifiedEvent", lambda *_: heard.append(1))

    write_state(node, state)
    once = len(heard)
    write_state(node, state)
    node.RemoveObserver(tag)

    assert (once, len(heard)) == (1, 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("region", '"everywhere"'),
        ("smoothing", '"much"'),
        ("threads", "1.5"),
        ("collapsed", "[1, 2]"),
        ("volumes", '"t1"'),
        ("replace", "not json"),
        ("replace", "1"),
    ],
)
def test_what_makes_no_sense_has_its_default(name, text):
    write_state(state_node(), ModuleState(model="student"))

    state_node().SetParameter(name, text)

    assert read_state(state_node()) == ModuleState(model="student")


def test_the_settings_of_a_run_come_from_the_state():
    settings = replace(full()).settings

    assert (settings.device, settings.engine, settings.threads) == ("cpu", "openvino", 2)
    assert settings.memory_limit_gib == 3.5
