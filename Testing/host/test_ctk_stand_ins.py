"""The stand-ins for CTK's widgets work with a real mouse and keyboard."""

from __future__ import annotations

from typing import Any

import pytest


def shown(host: Any, widget: Any) -> Any:
    widget.resize(240, 160)
    widget.show()
    host.events()
    return widget


def test_a_section_folds_when_its_headline_is_clicked(ctk: Any, qt: Any, shared: Any) -> None:
    section = ctk.ctkCollapsibleButton()
    section.text = "Inputs"
    inside = qt.QLabel("one")
    qt.QVBoxLayout(section).addWidget(inside)
    seen: list[bool] = []
    section.connect("contentsCollapsed(bool)", seen.append)
    shown(shared, section)
    shared.click(section, (40, 8))
    assert (section.collapsed, inside.visible, seen) == (True, False, [True])
    shared.click(section, (40, 8))
    assert (section.collapsed, inside.visible, seen) == (False, True, [True, False])


def test_folding_keeps_hidden_what_was_hidden(ctk: Any, qt: Any, shared: Any) -> None:
    section = ctk.ctkCollapsibleButton()
    column = qt.QVBoxLayout(section)
    plain, hidden = qt.QLabel("one"), qt.QLabel("two")
    column.addWidget(plain)
    column.addWidget(hidden)
    hidden.visible = False
    shown(shared, section)
    section.collapsed = True
    section.collapsed = False
    assert (plain.visible, hidden.visible) == (True, False)


def test_a_click_inside_a_section_does_not_fold_it(ctk: Any, shared: Any) -> None:
    section = shown(shared, ctk.ctkCollapsibleButton())
    shared.click(section, (40, 100))
    assert section.collapsed is False


def test_a_slider_and_its_box_show_one_number(ctk: Any, shared: Any) -> None:
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.singleStep = 1.0, 3.0, 0.5
    seen: list[float] = []
    slider.connect("valueChanged(double)", seen.append)
    slider.value = 2.5
    assert seen == [2.5]
    assert slider._slider.value == 3
    shown(shared, slider)
    slider._slider.setFocus()
    shared.press(slider._slider, 0x01000014)  # the right arrow
    assert slider.value == 3.0


def test_entries_are_ticked_one_by_one(ctk: Any, qt: Any) -> None:
    box = ctk.ctkCheckableComboBox()
    box.addItems(["left", "right"])
    assert box.noneChecked
    changes: list[int] = []
    box.connect("checkedIndexesChanged()", lambda: changes.append(1))
    box.setCheckState(box.model().index(1, 0), qt.Qt.Checked)
    assert [index.row() for index in box.checkedIndexes()] == [1]
    assert changes
    assert not box.allChecked


def test_a_path_is_typed_or_chosen(ctk: Any, shared: Any) -> None:
    edit = shown(shared, ctk.ctkPathLineEdit())
    seen: list[str] = []
    edit.connect("currentPathChanged(QString)", seen.append)
    shared.type(edit._edit, "/a")
    assert seen == ["/", "/a"]
    shared.answers.prepare("/b/c.zip")
    shared.click(edit._button)
    assert edit.currentPath == "/b/c.zip"


@pytest.mark.parametrize("name", ["ctkCollapsibleButton", "ctkSliderWidget", "ctkPathLineEdit"])
def test_a_misspelt_property_of_a_stand_in_is_refused(ctk: Any, name: str) -> None:
    with pytest.raises(AttributeError, match="tittle"):
        getattr(ctk, name)().tittle = "one"


def test_a_ctk_widget_that_is_not_here_is_refused(ctk: Any) -> None:
    with pytest.raises(AttributeError):
        _ = ctk.ctkNotThere
