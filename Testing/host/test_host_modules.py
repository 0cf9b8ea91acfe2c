"""A scripted module is loaded, opened, used, reloaded and unloaded as in Slicer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def widget(host: Any, example: Path) -> Any:
    made = host.open(example)
    made.events.clear()
    return made


def volume(name: str = "scan") -> Any:
    import slicer

    return slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.uint8), name=name)


def test_the_module_describes_itself(host: Any, example: Path) -> None:
    import slicer

    description = host.load(example)
    assert description.title == "Host example"
    assert description.categories == ("Testing",)
    assert slicer.util.getModule("HostExample") is description
    assert slicer.util.modulePath("HostExample") == str(example)


def test_sample_data_is_registered_at_start_up(host: Any, example: Path) -> None:
    host.load(example)
    assert host.requests.samples[0]["sampleName"] == "Example"


def test_widget_and_logic_are_found_by_the_modules_name(widget: Any) -> None:
    import slicer

    assert slicer.util.getModuleWidget("HostExample") is widget
    assert slicer.util.getModuleLogic("HostExample") is widget.logic
    assert slicer.modules.hostexample.widgetRepresentation().self() is widget
    assert slicer.modules.HostExampleWidget is widget


def test_the_ui_file_makes_stand_ins_and_connects_the_scene(widget: Any) -> None:
    node = volume()
    assert widget.ui.selector.className() == "qMRMLNodeComboBox"
    assert (widget.ui.slider.maximum, widget.ui.slider.singleStep) == (2.5, 0.5)
    widget.ui.selector.setCurrentNode(node)
    assert widget.ui.selector.currentNode() is node


def test_a_mouse_presses_the_button_and_keys_fill_the_field(host: Any, widget: Any) -> None:
    node = volume()
    with pytest.raises(AssertionError, match="disabled"):
        host.click(widget.ui.applyButton)
    assert widget.ui.applyButton.toolTip == ""
    widget.ui.selector.setCurrentNode(node)
    host.type(widget.entry, "liver")
    host.click(widget.ui.applyButton)
    assert node.GetName() == "liver"


def test_what_is_folded_away_cannot_be_clicked(host: Any, widget: Any) -> None:
    widget.section.collapsed = True
    with pytest.raises(AssertionError, match="cannot be seen"):
        host.click(widget.entry)


def test_a_developer_sees_the_reload_button(host: Any, example: Path) -> None:
    import qt

    qt.QSettings().setValue("Developer/DeveloperMode", True)
    widget = host.open(example)
    host.click(widget.reloadButton)
    assert "cleanup" in widget.events
    assert host.manager.module("HostExample").widgetRepresentation().self() is not widget


def test_without_developer_mode_there_is_none(widget: Any) -> None:
    assert not widget.reloadButton.visible


def test_reloading_cleans_up_and_makes_a_new_widget(host: Any, widget: Any) -> None:
    old_module, old_events = sys.modules["HostExample"], widget.events
    fresh = host.reload(Path(old_module.__file__ or ""))
    assert old_events == ["cleanup"]
    assert fresh is not widget
    assert sys.modules["HostExample"] is not old_module
    assert fresh.events == ["enter"]
    assert fresh.entry.visible


def test_closing_the_scene_reaches_the_module(host: Any, widget: Any) -> None:
    widget.ui.selector.setCurrentNode(volume())
    host.close_scene()
    assert widget.events == ["close"]
    assert widget.ui.applyButton.enabled is False


def test_leaving_the_module_is_told(host: Any, widget: Any) -> None:
    import slicer

    slicer.util.selectModule("SegmentEditor")
    assert widget.events == ["exit"]
    assert slicer.util.selectedModule() == "SegmentEditor"
    host.open(Path(sys.modules["HostExample"].__file__ or ""))
    assert widget.events == ["exit", "enter"]


def test_the_segment_editor_takes_what_it_is_given(host: Any) -> None:  # noqa: ARG001
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(node)
    assert editor.segmentationNode() is node


def test_a_module_that_is_not_there_cannot_be_selected(host: Any) -> None:  # noqa: ARG001
    import slicer

    with pytest.raises(RuntimeError):
        slicer.util.selectModule("NotThere")
    with pytest.raises(RuntimeError):
        slicer.util.getModule("NotThere")


def test_quitting_cleans_up_and_forgets_the_module(tmp_path: Path, example: Path) -> None:
    from Testing.SlicerHost import signals
    from Testing.SlicerHost.fixture import started

    before, path = signals.count(), list(sys.path)
    with started(tmp_path) as host:
        events = host.open(example).events
        timers = host.timers()
    assert events[-2:] == ["exit", "cleanup"]
    assert timers == []
    assert "qt" not in sys.modules
    assert "HostExample" not in sys.modules
    assert sys.path == path
    assert signals.count() == before


def test_settings_of_one_test_are_not_the_nexts(tmp_path: Path) -> None:
    from Testing.SlicerHost.fixture import started

    for name in ("a", "b"):
        with started(tmp_path / name):
            import qt
            import slicer

            assert slicer.util.settingsValue("KD/licence", "none") == "none"
            qt.QSettings().setValue("KD/licence", "accepted")
            assert slicer.util.settingsValue("KD/licence", "none") == "accepted"


def test_the_modules_own_test_runs(host: Any, widget: Any) -> None:  # noqa: ARG001
    import slicer

    slicer.selfTests["HostExample"]()
    assert widget.events == ["test"]


@pytest.mark.qt_no_exception_capture
def test_what_an_observer_raises_is_kept(host: Any) -> None:
    import slicer

    node = volume()
    node.AddObserver("ModifiedEvent", lambda _caller, _event: [][1])
    node.SetName("other")
    assert isinstance(host.errors.pop(), IndexError)
    slicer.mrmlScene.RemoveNode(node)


def test_waiting_has_an_end(host: Any) -> None:
    with pytest.raises(AssertionError, match="did not happen"):
        host.wait_until(lambda: False, seconds=0.05)


def test_a_file_with_an_unknown_widget_is_refused(host: Any, tmp_path: Path) -> None:  # noqa: ARG001
    import slicer

    text = '<ui version="4.0"><widget class="qMRMLMissing" name="a"/></ui>'
    (tmp_path / "a.ui").write_text(text, encoding="utf-8")
    with pytest.raises(RuntimeError):
        slicer.util.loadUI(str(tmp_path / "a.ui"))


def test_a_table_node_is_shown(host: Any, tmp_path: Path) -> None:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(node, np.array([0.91, 0.87]), "Dice")
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(node)
    model = view.model()
    assert model.rowCount() == 2
    assert model.index(1, 0).data() == "0.87"
    host.grab(tmp_path / "table.png", view)


def test_a_segments_visibility_is_ticked(host: Any) -> None:  # noqa: ARG001
    import qt
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    view = slicer.qMRMLSegmentsTableView()
    view.setSegmentationNode(node)
    node.GetSegmentation().AddEmptySegment("liver", "Liver", (1.0, 0.0, 0.0))
    assert view.segmentCount() == 1
    view._table.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert not node.GetDisplayNode().GetSegmentVisibility("liver")
    view.setSelectedSegmentIDs(["liver"])
    assert view.selectedSegmentIDs() == ("liver",)
