"""The stand-in for qMRMLNodeComboBox follows the scene as Slicer's does."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def combo(host: Any) -> Any:  # noqa: ARG001
    import slicer

    made = slicer.qMRMLNodeComboBox()
    made.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    made.addEnabled = False
    return made


def volume(name: str = "volume", kind: str = "vtkMRMLScalarVolumeNode") -> Any:
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


def show(combo: Any) -> Any:
    import slicer

    combo.setMRMLScene(slicer.mrmlScene)
    return combo


def texts(combo: Any) -> list[str]:
    return [combo._box.itemText(row) for row in range(combo._box.count)]


def test_without_a_scene_there_is_nothing_to_choose(combo: Any) -> None:
    volume()
    assert combo.currentNode() is None
    assert combo.nodeCount() == 0


def test_the_first_node_is_chosen_where_none_is_not_allowed(combo: Any) -> None:
    show(combo)
    seen: list[Any] = []
    combo.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    node = volume()
    assert combo.currentNode() is node
    assert seen == [node]


def test_none_stays_chosen_where_it_is_allowed(combo: Any) -> None:
    combo.noneEnabled = True
    show(combo)
    volume("a")
    assert combo.currentNode() is None
    assert texts(combo) == ["None", "a"]


def test_none_can_be_set_even_where_it_is_not_offered(combo: Any) -> None:
    volume()
    show(combo).setCurrentNode(None)
    assert combo.currentNode() is None
    assert combo.currentNodeID == ""


def test_both_signatures_are_told(combo: Any) -> None:
    combo.noneEnabled = True
    node = volume()
    show(combo)
    seen: list[Any] = []
    combo.connect("currentNodeChanged(bool)", seen.append)
    combo.currentNodeChanged.connect(seen.append)
    combo.connect("currentNodeIDChanged(QString)", seen.append)
    combo.setCurrentNode(node)
    assert seen == [node, True, node.GetID()]


def test_a_removed_node_is_no_longer_chosen(combo: Any) -> None:
    import slicer

    combo.noneEnabled = True
    node = volume()
    show(combo).setCurrentNode(node)
    slicer.mrmlScene.RemoveNode(node)
    assert combo.currentNode() is None


def test_closing_the_scene_empties_it(combo: Any, host: Any) -> None:
    volume()
    show(combo)
    seen: list[Any] = []
    combo.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    host.close_scene()
    assert combo.currentNode() is None
    assert seen == [None]


def test_a_new_name_is_shown(combo: Any) -> None:
    node = volume("before")
    show(combo)
    node.SetName("after")
    assert texts(combo) == ["after"]


def test_hidden_nodes_are_left_out_until_asked_for(combo: Any) -> None:
    node = volume()
    node.SetHideFromEditors(True)
    show(combo)
    assert combo.nodeCount() == 0
    combo.showHidden = True
    assert combo.nodeCount() == 1


def test_subclasses_are_offered_until_left_out(combo: Any) -> None:
    volume("labels", "vtkMRMLLabelMapVolumeNode")
    show(combo)
    assert texts(combo) == ["labels"]
    combo.showChildNodeTypes = False
    assert texts(combo) == []


def test_an_attribute_chooses_among_the_nodes(combo: Any) -> None:
    volume("plain")
    volume("marked").SetAttribute("Channel", "T1")
    show(combo)
    combo.addAttribute("vtkMRMLScalarVolumeNode", "Channel", "T1")
    assert texts(combo) == ["marked"]


def test_a_node_can_be_made_where_that_is_allowed(combo: Any) -> None:
    combo.addEnabled = True
    combo.baseName = "Result"
    show(combo)
    made: list[Any] = []
    combo.connect("nodeAddedByUser(vtkMRMLNode*)", made.append)
    combo._activated(0)
    assert made[0].GetName() == "Result"
    assert combo.currentNode() is made[0]


def test_the_keyboard_chooses(combo: Any, host: Any) -> None:
    first, second = volume("a"), volume("b")
    show(combo).show()
    assert combo.currentNode() is first
    host.press(combo._box, 0x01000015)  # the down arrow
    assert combo.currentNode() is second


def test_a_node_id_is_no_node(combo: Any) -> None:
    node = volume()
    with pytest.raises(TypeError, match="setCurrentNodeID"):
        show(combo).setCurrentNode(node.GetID())


def test_a_destroyed_widget_leaves_no_observer(combo: Any) -> None:
    volume()
    show(combo)
    observed, named = combo._tags, combo._named
    assert observed
    assert named
    combo.delete()
    assert not observed
    assert not named


def test_a_widget_that_nobody_holds_is_gone(combo: Any) -> None:
    import gc
    import weakref

    import slicer

    other = slicer.qMRMLNodeComboBox()
    other.nodeTypes = combo.nodeTypes
    alive = weakref.ref(show(other))
    del other
    gc.collect()
    assert alive() is None
