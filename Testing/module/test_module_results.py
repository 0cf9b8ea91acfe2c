"""What is done with a result: replaced, shown, coloured, saved, handed over, compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from Testing.module.acting import BOX, finish, segment, segmentations

Add = Callable[..., Any]


def test_a_new_run_makes_a_new_segmentation_or_replaces_the_last(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    segment(host, panels)
    assert len(segmentations()) == 2
    panels.board.change(replace=True)
    segment(host, panels)
    assert len(segmentations()) == 2


def test_what_the_user_has_edited_is_never_replaced(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    (mine,) = segmentations()
    mine.GetSegmentation().GetNthSegment(0).SetName("edited by hand")
    panels.board.change(replace=True)
    segment(host, panels)
    assert len(segmentations()) == 2
    assert mine.GetSegmentation().GetNthSegment(0).GetName() == "edited by hand"
    assert "has been edited" in panels.runPanel.notices.text


def test_a_structure_is_hidden_and_shown_by_a_click(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    (node,) = segmentations()
    panels.resultPanel.onCell(0, 0)
    assert not node.GetDisplayNode().GetSegmentVisibility("label_1")
    panels.resultPanel.onCell(0, 0)
    assert node.GetDisplayNode().GetSegmentVisibility("label_1")


def test_surfaces_are_made_on_demand_and_as_smooth_as_asked(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    (node,) = segmentations()
    surface = "Closed surface"
    assert not node.GetSegmentation().ContainsRepresentation(surface)
    host.click(panels.resultPanel.surfaces, at=BOX)
    assert node.GetSegmentation().ContainsRepresentation(surface)
    panels.resultPanel.smoothing.setValue(0)
    assert panels.board.state.smoothing == 0.0
    host.click(panels.resultPanel.surfaces, at=BOX)
    assert not node.GetSegmentation().ContainsRepresentation(surface)


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nii.gz", ".stl"])
def test_a_result_is_saved_in_the_chosen_format(
    host: Any, panels: Any, add_phantom: Add, tmp_path: Path, ending: str
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    panels.board.change(save_as=ending)
    host.answers.prepare(str(tmp_path / f"out{ending}"))
    host.click(panels.resultPanel.save)
    assert "Saved" in panels.runPanel.message.text, panels.runPanel.message.text
    assert [path for path in tmp_path.iterdir() if path.name.endswith(ending.split(".")[-1])]


@pytest.mark.parametrize(
    ("ending", "typed", "file"),
    [(".seg.nrrd", "out", "out.seg.nrrd"), (".stl", "out.stl", "out-anterior.stl")],
)
def test_a_file_that_the_dialog_did_not_ask_about_is_kept_until_the_user_agrees(
    host: Any, panels: Any, add_phantom: Add, tmp_path: Path, ending: str, typed: str, file: str
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    panels.board.change(save_as=ending)
    (tmp_path / file).write_text("the user's", encoding="utf-8")
    host.answers.prepare(str(tmp_path / typed), "Cancel")
    host.click(panels.resultPanel.save)
    assert (tmp_path / file).read_bytes() == b"the user's"
    host.answers.prepare(str(tmp_path / typed), "OK")
    host.click(panels.resultPanel.save)
    assert (tmp_path / file).read_bytes() != b"the user's"


def test_dicom_without_a_source_series_is_refused_in_two_sentences(
    host: Any, panels: Any, add_phantom: Add, tmp_path: Path
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    panels.board.change(save_as=".dcm")
    host.answers.prepare(str(tmp_path / "out.dcm"))
    host.click(panels.resultPanel.save)
    assert "DICOM" in panels.runPanel.message.text
    assert not (tmp_path / "out.dcm").exists()


def test_a_folder_that_cannot_be_written_is_named(
    host: Any, panels: Any, add_phantom: Add, tmp_path: Path
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    host.answers.prepare(str(tmp_path / "nowhere" / "out.seg.nrrd"))
    host.click(panels.resultPanel.save)
    assert "nowhere" in panels.runPanel.message.text


def test_a_result_is_handed_over_with_its_volume(
    host: Any, panels: Any, add_phantom: Add, tmp_path: Path
) -> None:
    import slicer

    add_phantom()
    host.events()
    segment(host, panels)
    editor = tmp_path / "SegmentEditor.py"
    editor.write_text(SEGMENT_EDITOR, encoding="utf-8")
    host.load(editor)
    host.click(panels.resultPanel.edit)
    handed = slicer.modules.segmenteditor.widgetRepresentation().self().editor.handed
    assert handed == ["Phantom Tiny-student", "Phantom"]


def test_student_and_ensemble_are_compared_in_linked_views(
    host: Any, panels: Any, add_phantom: Add, tmp_path: Path
) -> None:
    import slicer

    from KDSegmentationLogic.scene import layouts

    add_phantom()
    host.events()
    host.click(panels.comparePanel.button)
    finish(host, panels)
    compare = panels.comparePanel
    assert compare.table.rowCount == 2
    assert "Tiny-ensemble" in compare.verdict.text
    assert slicer.app.layoutManager().layout == layouts.SIDE_BY_SIDE
    host.answers.prepare(str(tmp_path / "table.csv"))
    host.click(compare.save)
    assert "anterior" in (tmp_path / "table.csv").read_text(encoding="utf-8")
    host.click(compare.jump)
    assert not compare.uncertainty.checked
    host.click(compare.uncertainty, at=BOX)
    assert compare.uncertainty.checked
    host.click(compare.sideBySide, at=BOX)
    assert slicer.app.layoutManager().layout != layouts.SIDE_BY_SIDE


def test_a_model_is_compared_with_a_reference_segmentation(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    (reference,) = segmentations()
    compare = panels.comparePanel
    host.click(compare.withReference, at=BOX)
    assert "Nothing to compare with" in compare.button.toolTip
    compare.reference.setCurrentNode(reference)
    host.click(compare.button)
    finish(host, panels)
    assert compare.table.item(0, 1).text() == "1.000"
    assert "agree in every structure" in compare.verdict.text


def test_what_is_hidden_for_a_comparison_comes_back(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    (mine,) = segmentations()
    host.click(panels.comparePanel.button)
    finish(host, panels)
    assert not mine.GetDisplayNode().GetVisibility()
    host.click(panels.comparePanel.sideBySide, at=BOX)
    assert mine.GetDisplayNode().GetVisibility()


def test_a_structure_gets_the_colour_that_is_chosen(
    host: Any, panels: Any, add_phantom: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    add_phantom()
    host.events()
    segment(host, panels)
    (node,) = segmentations()
    chosen = qt.QColor(0, 128, 255)
    monkeypatch.setattr(qt.QColorDialog, "getColor", lambda *_: chosen)
    panels.resultPanel.onCell(1, 1)
    colour = node.GetSegmentation().GetSegment("label_2").GetColor()
    assert colour == pytest.approx((0.0, 128 / 255, 1.0))


def test_a_fault_of_ours_is_told_and_the_panels_go_on(host: Any, panels: Any) -> None:
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    assert panels.board.attempt(broken) is None
    host.events()
    assert "did not foresee (ZeroDivisionError" in panels.runPanel.message.text


SEGMENT_EDITOR = '''
"""Slicer's Segment Editor, as far as a module hands something over to it."""
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget


class SegmentEditor(ScriptedLoadableModule):
    pass


class Editor:
    def __init__(self):
        self.handed = []

    def setSegmentationNode(self, node):
        self.handed.append(node.GetName())

    def setSourceVolumeNode(self, node):
        self.handed.append(node.GetName())


class SegmentEditorWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.editor = Editor()
'''
