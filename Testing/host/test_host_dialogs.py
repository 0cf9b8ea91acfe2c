"""Dialogs never wait, are recorded, and are answered as the test prepared."""

from __future__ import annotations

from typing import Any

import pytest


def test_an_error_box_is_recorded_and_answers_itself(host: Any) -> None:
    import slicer

    slicer.util.errorDisplay("The file is broken.", windowTitle="Load", detailedText="line 3")
    (box,) = host.answers.boxes
    assert (box.icon, box.title, box.text) == ("Critical", "Load", "The file is broken.")
    assert (box.details, box.buttons) == ("line 3", ("OK",))


def test_a_question_is_answered_as_prepared(host: Any) -> None:
    import slicer

    host.answers.prepare("OK", "Cancel", "Yes")
    assert slicer.util.confirmOkCancelDisplay("Install?") is True
    assert slicer.util.confirmOkCancelDisplay("Install?") is False
    assert slicer.util.confirmYesNoDisplay("Replace?") is True


def test_a_question_that_nobody_answers_fails(host: Any) -> None:
    import slicer

    with pytest.raises(AssertionError, match=r"Install\?"):
        slicer.util.confirmYesNoDisplay("Install?")
    assert not host.errors


def test_a_button_that_is_not_there_cannot_be_pressed(host: Any) -> None:
    import qt

    host.answers.prepare("Maybe")
    with pytest.raises(AssertionError, match="Maybe"):
        qt.QMessageBox.question(None, "Title", "Text")


def test_a_box_with_buttons_of_its_own_tells_which_was_pressed(host: Any) -> None:
    import qt

    box = qt.QMessageBox()
    accept = box.addButton("I accept", qt.QMessageBox.AcceptRole)
    box.addButton("No", qt.QMessageBox.RejectRole)
    host.answers.prepare("I accept")
    box.exec_()
    assert box.clickedButton() == accept


def test_an_error_in_a_guarded_block_is_shown_and_raised(host: Any) -> None:
    import slicer

    with (
        pytest.raises(ZeroDivisionError),
        slicer.util.tryWithErrorDisplay("It failed.", waitCursor=True),
    ):
        _ = 1 / 0
    assert host.answers.boxes[0].text.startswith("It failed.")


def test_a_file_dialog_gives_the_path_alone(host: Any) -> None:
    import qt

    host.answers.prepare("/a/b.nii.gz", "")
    assert qt.QFileDialog.getOpenFileName(None, "Open", "", "*.nii.gz") == "/a/b.nii.gz"
    assert qt.QFileDialog.getExistingDirectory(None, "Folder") == ""


def test_a_dialog_of_the_modules_own_is_used_by_a_function(host: Any) -> None:
    import qt

    class Ask(qt.QDialog):
        def __init__(self, parent: Any) -> None:
            qt.QDialog.__init__(self, parent)
            self.entry = qt.QLineEdit(self)
            self.entry.resize(100, 20)

    def use(dialog: Any) -> None:
        host.type(dialog.entry, "liver")
        host.press(dialog.entry, qt.Qt.Key_Escape)

    host.answers.prepare(use)
    dialog = Ask(host.window)
    assert dialog.exec_() == 0
    assert dialog.entry.text == "liver"


def test_a_dialog_that_is_left_open_fails(host: Any) -> None:
    import qt

    host.answers.prepare(lambda _dialog: None)
    with pytest.raises(AssertionError, match="left open"):
        qt.QDialog().exec_()


def test_a_menu_does_what_was_chosen(host: Any) -> None:
    import qt

    chosen: list[bool] = []
    menu = qt.QMenu()
    menu.addAction("&Delete").triggered.connect(lambda: chosen.append(True))
    host.answers.prepare("Delete")
    menu.exec_(qt.QCursor.pos())
    assert chosen


def test_an_installation_is_recorded_and_refused(host: Any) -> None:
    import slicer

    with pytest.raises(RuntimeError, match="monai"):
        slicer.util.pip_install("monai>=1.5 scipy")
    assert host.requests.installed == [("monai>=1.5", "scipy")]


def test_a_slicer_before_packaging_has_none(tmp_path: Any) -> None:
    from Testing.SlicerHost.fixture import started

    with started(tmp_path, packaging=False) as host:
        import slicer

        host.requests.accept_installations = True
        with pytest.raises(ImportError):
            import slicer.packaging
        slicer.util.pip_install("scipy")
        assert host.requests.installed == [("scipy",)]
