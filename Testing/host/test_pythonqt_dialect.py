"""The host's Qt objects behave as PythonQt's, where that differs from PySide."""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path
from typing import Any

import pytest


def test_a_property_is_read_and_set_as_an_attribute(qt: Any) -> None:
    label = qt.QLabel("one")
    assert label.text == "one"
    label.text = "two"
    label.wordWrap = True
    assert (label.text, label.wordWrap) == ("two", True)


def test_a_propertys_getter_cannot_be_called(qt: Any) -> None:
    with pytest.raises(TypeError, match="not callable"):
        qt.QLabel("one").text()


def test_other_getters_and_setters_stay_methods(qt: Any) -> None:
    box = qt.QCheckBox("one")
    box.setText("two")
    box.setChecked(True)
    assert box.isChecked()
    assert box.checked is True


def test_name_is_the_object_name(qt: Any) -> None:
    label = qt.QLabel()
    label.name = "title"
    assert label.objectName == "title"


def test_a_misspelt_property_is_refused(qt: Any) -> None:
    with pytest.raises(AttributeError, match="enabledd"):
        qt.QPushButton().enabledd = True


def test_a_read_only_property_is_refused(qt: Any) -> None:
    with pytest.raises(AttributeError, match="read only"):
        qt.QComboBox().count = 3


def test_a_dynamic_property_is_an_attribute(qt: Any) -> None:
    label = qt.QLabel()
    label.setProperty("channel", 2)
    assert label.channel == 2


def test_a_class_of_the_modules_own_takes_any_attribute(qt: Any) -> None:
    class Card(qt.QFrame):
        def __init__(self) -> None:
            qt.QFrame.__init__(self)
            self.model = "student"

    assert Card().model == "student"


def test_an_unknown_attribute_raises(qt: Any) -> None:
    with pytest.raises(AttributeError):
        _ = qt.QLabel().caption


@pytest.mark.parametrize("name", ["QFooBar", "Signal", "Slot", "Property", "pyqtSignal", "QtCore"])
def test_names_that_slicer_lacks_are_refused(qt: Any, name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(qt, name)


def test_constructors_take_no_keywords(qt: Any) -> None:
    with pytest.raises(TypeError):
        qt.QLabel(text="one")


def test_methods_take_no_keywords(qt: Any) -> None:
    with pytest.raises(TypeError):
        qt.QLabel().setText(text="one")


def test_pathlib_paths_are_refused(qt: Any) -> None:
    with pytest.raises(TypeError, match="pathlib"):
        qt.QLabel().setText(Path("one"))
    with pytest.raises(TypeError, match="pathlib"):
        qt.QLabel().text = Path("one")


def test_integers_stand_for_enums(qt: Any) -> None:
    label = qt.QLabel()
    label.setAlignment(int(qt.Qt.AlignRight))
    assert label.alignment == qt.Qt.AlignRight
    button = qt.QToolButton()
    button.popupMode = 2
    assert button.popupMode == qt.QToolButton.InstantPopup


def test_lists_come_as_tuples(qt: Any) -> None:
    frame = qt.QWidget()
    row = qt.QHBoxLayout(frame)
    assert frame.children() == (row,)


def test_objects_that_qt_made_speak_the_dialect_too(qt: Any) -> None:
    table = qt.QTableWidget()
    header = table.horizontalHeader()
    header.stretchLastSection = True
    header.setSectionResizeMode(qt.QHeaderView.Fixed)
    assert header.stretchLastSection is True
    assert header == table.horizontalHeader()
    assert isinstance(header, qt.QHeaderView)
    with pytest.raises(AttributeError):
        header.stretchLast = True


def test_an_object_that_qt_has_destroyed_says_so(qt: Any) -> None:
    header = qt.QTableWidget().horizontalHeader()
    with pytest.raises(ValueError, match="destroyed"):
        header.stretchLastSection = True


def test_children_are_found_by_the_name_of_their_class(qt: Any) -> None:
    frame = qt.QWidget()
    button = qt.QPushButton("one", frame)
    assert frame.findChildren("QPushButton") == (button,)
    assert frame.findChild("QAbstractButton") == button


def test_instances_belong_to_their_base_classes(qt: Any) -> None:
    button = qt.QPushButton()
    assert isinstance(button, qt.QWidget)
    assert isinstance(button, qt.QObject)
    assert not isinstance(button, qt.QLabel)


def test_a_signal_is_connected_by_its_signature(qt: Any) -> None:
    button, seen = qt.QPushButton(), []
    button.checkable = True
    assert button.connect("toggled( bool )", seen.append)
    button.click()
    assert seen == [True]


def test_a_signal_is_connected_by_its_name(qt: Any) -> None:
    button, seen = qt.QPushButton(), []
    button.clicked.connect(lambda: seen.append("clicked"))
    button.click()
    assert seen == ["clicked"]


def test_an_unknown_signal_raises(qt: Any) -> None:
    with pytest.raises(ValueError, match="no signal clicket"):
        qt.QPushButton().connect("clicket(bool)", print)
    with pytest.raises(ValueError, match="no signal currentIndexChanged"):
        # Left Qt with version 6.
        qt.QComboBox().connect("currentIndexChanged(QString)", print)


def test_calling_a_signal_emits_it(qt: Any) -> None:
    button, seen = qt.QPushButton(), []
    button.clicked.connect(seen.append)
    button.clicked()
    button.clicked(True)
    assert seen == [False, True]


def test_emit_is_refused_since_not_every_slicer_has_it(qt: Any) -> None:
    with pytest.raises(AttributeError, match="emit"):
        qt.QPushButton().clicked.emit()


def test_a_default_argument_is_taken_for_the_signals(qt: Any) -> None:
    button, seen = qt.QPushButton(), []
    for index in (7, 8):
        button.clicked.connect(lambda i=index: seen.append(i))
        button.clicked.connect(lambda _=0, i=index: seen.append(i))
    button.click()
    assert seen == [False, 7, False, 8]


def test_a_partial_is_given_all_arguments(qt: Any) -> None:
    button, seen = qt.QPushButton(), []
    button.clicked.connect(partial(lambda *given: seen.append(given), "first"))
    button.click()
    assert seen == [("first", False)]


def test_a_bound_method_is_given_what_it_declares(qt: Any) -> None:
    class Panel:
        pressed = 0

        def press(self) -> None:
            self.pressed += 1

    button, panel = qt.QPushButton(), Panel()
    button.connect("clicked(bool)", panel.press)
    button.click()
    assert panel.pressed == 1
    assert button.disconnect("clicked(bool)", panel.press)
    button.click()
    assert panel.pressed == 1


def test_disconnecting_what_was_not_connected_says_so(qt: Any) -> None:
    assert qt.QPushButton().disconnect("clicked()", print) is False


def test_connected_callables_are_kept_until_the_object_is_gone(qt: Any) -> None:
    from Testing.SlicerHost import signals

    before = signals.count()
    timer = qt.QTimer()
    timer.timeout.connect(lambda: None)
    assert signals.count() == before + 1
    del timer
    gc.collect()
    assert signals.count() == before


def test_what_a_slot_raises_is_kept_and_does_not_stop_qt(qt: Any, shared: Any) -> None:
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert isinstance(shared.errors.pop(), ZeroDivisionError)


def test_a_timer_calls_back(qt: Any, shared: Any) -> None:
    seen: list[int] = []
    timer = qt.QTimer()
    timer.singleShot = True
    timer.interval = 1
    timer.timeout.connect(lambda: seen.append(1))
    timer.start()
    qt.QTimer.singleShot(1, lambda: seen.append(2))
    shared.wait_until(lambda: len(seen) == 2)
    assert not timer.active


def test_an_event_filter_of_the_modules_own_is_asked(qt: Any, shared: Any) -> None:
    class Filter(qt.QObject):
        seen = 0

        def eventFilter(self, _watched: Any, event: Any) -> bool:  # noqa: N802
            self.seen += event.type() == qt.QEvent.MouseButtonPress
            return False

    frame, watcher = qt.QFrame(), Filter()
    frame.resize(40, 40)
    frame.installEventFilter(watcher)
    frame.show()
    shared.click(frame)
    assert watcher.seen == 1
