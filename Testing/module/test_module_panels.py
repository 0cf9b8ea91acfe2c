"""A person at the panels: every control, on the host, with a real mouse."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from Testing.module.acting import (
    BOX,
    centre,
    choose_whole,
    click_at,
    finish,
    names,
    segment,
    segmentations,
)
from Testing.module.conftest import ready

Add = Callable[..., Any]


def test_a_volume_that_is_loaded_is_chosen_and_segmented_by_one_click(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    volume = add_phantom()
    host.events()
    assert panels.board.volumes() == [volume]
    segment(host, panels)
    assert names(panels) == ["anterior", "posterior"]
    assert "2 structures" in panels.runPanel.message.text
    (node,) = segmentations()
    assert panels.resultPanel.node.currentNode() is node


def test_the_table_gives_millilitres(host: Any, panels: Any, add_phantom: Add) -> None:
    import numpy as np
    import SimpleITK as sitk

    from Testing.making import phantom

    add_phantom()
    host.events()
    segment(host, panels)
    truth = np.bincount(sitk.GetArrayFromImage(phantom()[1]).ravel()) / 1000
    shown = [panels.resultPanel.table.item(row, 3).text() for row in range(2)]
    assert shown == [f"{value:.2f}" for value in truth[1:]]


def test_a_disabled_button_says_why(host: Any, panels: Any, add_phantom: Add) -> None:
    button = panels.runPanel.button
    assert not button.enabled
    assert "needs a volume for CT, and none is chosen" in button.toolTip
    add_phantom()
    host.events()
    assert button.enabled
    panels.board.accept(False)
    assert not button.enabled
    assert "licence" in button.toolTip
    host.click(panels.inputsPanel.licence, at=BOX)
    assert button.enabled


def test_an_accepted_licence_is_remembered_by_the_next_session(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom()
    assert panels.board.accepted()
    widget = host.reload()
    host.events()
    assert widget.board.accepted()
    assert not widget.inputsPanel.licence.visible


def test_a_model_of_crops_offers_no_whole_head_and_says_why(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom(spacing=(4.0, 4.0, 4.0))
    host.events()
    panels.board.choose_model("Tiny-crop")
    panels.board.accept(True)
    region = panels.regionPanel
    assert not region.whole.enabled
    assert "24 × 24 × 24 mm" in region.whole.toolTip
    assert region.point.checked
    assert "24 × 24 × 24 mm" in region.hint.text
    assert "Place points" in panels.runPanel.button.toolTip


def test_clicks_add_structures_and_a_click_with_ctrl_takes_one_away(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    volume = add_phantom()
    host.events()
    host.click(panels.regionPanel.point, at=BOX)
    host.click(panels.regionPanel.place)
    assert panels.clicks.active
    x, y, z = centre(volume)
    click_at(host, (x, y, z))
    finish(host, panels)
    assert len(names(panels)) == 1
    click_at(host, (x - 7.0, y, z))
    finish(host, panels)
    assert len(names(panels)) == 2
    assert len(segmentations()) == 1
    click_at(host, (x, y, z), control=True)
    assert len(names(panels)) == 1
    assert "Removed" in panels.runPanel.message.text
    host.click(panels.regionPanel.place)
    assert not panels.clicks.active


def test_a_click_with_ctrl_on_background_says_so(host: Any, panels: Any, add_phantom: Add) -> None:
    volume = add_phantom()
    host.events()
    host.click(panels.regionPanel.point, at=BOX)
    host.click(panels.regionPanel.place)
    click_at(host, centre(volume), control=True)
    assert "no segmented structure" in panels.runPanel.message.text


def test_the_right_button_ends_the_mode_of_clicks_as_everywhere_in_slicer(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    import slicer

    add_phantom()
    host.events()
    host.click(panels.regionPanel.point, at=BOX)
    host.click(panels.regionPanel.place)
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    host.events()
    assert not panels.clicks.active
    assert not panels.regionPanel.place.checked


def test_only_what_lies_inside_of_a_region_is_segmented(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom()
    host.events()
    segment(host, panels)
    whole = sum(s.volume_ml for s in panels.resultPanel.structures)
    host.click(panels.regionPanel.box, at=BOX)
    assert "No region" in panels.runPanel.button.toolTip
    host.click(panels.regionPanel.newRoi)
    segment(host, panels)
    part = sum(s.volume_ml for s in panels.resultPanel.structures)
    assert 0.0 < part < 0.9 * whole


def test_each_channel_of_a_model_has_its_own_selector(
    host: Any, two_channels: str, panels: Any, add_phantom: Add
) -> None:
    first = add_phantom("Case image")
    host.events()
    panels.board.choose_model(two_channels)
    panels.board.accept(True)
    selectors = panels.inputsPanel.selectors
    assert [s.currentNode() for s in selectors] == [first, None]
    assert "FLAIR" in panels.runPanel.button.toolTip
    second = add_phantom("Other")
    host.events()
    selectors[1].setCurrentNode(second)
    assert panels.board.volumes() == [first, second]
    selectors[1].setCurrentNode(first)
    assert "is chosen for" in panels.runPanel.button.toolTip


def test_the_model_for_what_is_loaded_is_proposed(
    host: Any, two_channels: str, panels: Any, add_phantom: Add
) -> None:
    volume = add_phantom("Case image")
    host.events()
    panels.board.choose_model(two_channels)
    inputs = panels.inputsPanel
    assert "No FLAIR is chosen" in inputs.proposal.text
    host.click(inputs.proposalButton)
    assert panels.board.model.description.kind == "student"
    assert panels.board.volumes() == [volume]
    assert not inputs.proposalButton.visible


def test_the_card_shows_structures_licence_and_citation(host: Any, panels: Any) -> None:
    host.click(panels.inputsPanel.cardButton)
    text = panels.inputsPanel.card.plainText
    for expected in ("anterior", panels.board.model.description.licence, "not for clinical use"):
        assert expected in text
    host.click(panels.inputsPanel.licenceButton)
    assert host.answers.boxes[-1].details == panels.board.model.licence_text


def test_long_titles_of_models_are_whole_under_the_mouse(panels: Any) -> None:
    first, second = panels.inputsPanel.models, panels.comparePanel.second
    assert first.toolTip == panels.board.model.description.title
    assert second.toolTip == panels.board.second.description.title


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_model_is_imported_and_chosen(host: Any, panels: Any, tmp_path: Path, kind: str) -> None:
    from Testing.making import tiny_student

    tiny_student(tmp_path / "new" / "Newcomer", title="A newcomer")
    source = tmp_path / "new" / "Newcomer"
    if kind == "zip":
        source = Path(shutil.make_archive(str(tmp_path / "Newcomer"), "zip", tmp_path / "new"))
    host.answers.prepare(str(source))
    inputs = panels.inputsPanel
    (inputs.importFolder if kind == "folder" else inputs.importZip).trigger()
    assert panels.board.state.model == "Newcomer"
    assert inputs.models.currentText == "A newcomer"
    assert "A newcomer was installed." in panels.runPanel.message.text


def test_a_file_that_is_no_model_is_refused_in_two_sentences(
    host: Any, panels: Any, tmp_path: Path
) -> None:
    (tmp_path / "bad.zip").write_bytes(b"not a zip")
    host.answers.prepare(str(tmp_path / "bad.zip"))
    panels.inputsPanel.importZip.trigger()
    assert "bad.zip" in panels.runPanel.message.text
    assert panels.board.state.model == "Tiny-student"


def test_several_volumes_are_segmented_one_after_another(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    first, second, third = (add_phantom(name) for name in ("One", "Two", "Three"))
    host.events()
    panels.board.change(volumes=(first.GetID(),))
    queue = panels.inputsPanel.queue
    assert [queue.item(n).text() for n in range(queue.count)] == ["Two", "Three"]
    import qt

    queue.item(0).setCheckState(qt.Qt.Checked)
    assert panels.board.state.queue == (second.GetID(),)
    segment(host, panels)
    titles = sorted(node.GetName() for node in segmentations())
    assert titles == ["One Tiny-student", "Two Tiny-student"]
    assert third is not None


def test_what_fails_in_a_queue_stays_said_when_the_next_volume_is_done(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    import vtk

    first = add_phantom("First")
    other = add_phantom("Other")
    host.events()
    panels.board.change(volumes=(first.GetID(),), queue=(other.GetID(),))
    matrix = vtk.vtkMatrix4x4()
    first.GetIJKToRASMatrix(matrix)
    matrix.SetElement(0, 1, 0.5)  # sheared, which is refused
    first.SetIJKToRASMatrix(matrix)
    host.click(panels.runPanel.button)
    finish(host, panels)
    assert "Done" in panels.runPanel.message.text
    assert "First: Tiny-student: " in panels.runPanel.notices.text


def test_a_folded_section_stays_folded(host: Any, panels: Any) -> None:
    panels.comparePanel.section.collapsed = True
    assert panels.board.state.collapsed == ("compare",)
    panels.board.load()
    assert panels.comparePanel.section.collapsed
    assert not panels.inputsPanel.section.collapsed
    del host


def test_the_module_opens_without_models_and_says_what_to_do(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: None
) -> None:
    from KDSegmentationLogic import resources

    (tmp_path / "none" / "Models").mkdir(parents=True)
    monkeypatch.setattr(resources, "resources_folder", lambda: tmp_path / "none")
    monkeypatch.setenv("KDSEG_MODELS", str(tmp_path / "none"))
    widget = host.open()
    assert "No model is installed" in widget.runPanel.button.toolTip
    del in_process


def test_a_model_that_is_removed_meanwhile_is_named(
    host: Any, panels: Any, models: Path, add_phantom: Add
) -> None:
    add_phantom()
    host.events()
    shutil.rmtree(models / "Tiny-student")
    panels.board.load()
    assert "Tiny-student is not installed any more" in panels.runPanel.button.toolTip
    host.events()


def test_a_chosen_model_can_be_switched_with_the_keyboard(
    host: Any, panels: Any, add_phantom: Add
) -> None:
    add_phantom()
    host.events()
    before = panels.board.state.model
    import qt

    host.press(panels.inputsPanel.models, qt.Qt.Key_Up)
    assert panels.board.state.model == "Tiny-ensemble" != before
    ready(panels, "Tiny-ensemble")
    choose_whole(host, panels)
    segment(host, panels)
    assert names(panels) == ["anterior", "posterior"]
