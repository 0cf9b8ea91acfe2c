"""Dialogs that never wait: what they ask is recorded, and answered as the test prepared."""

# ruff: noqa: N802, N815

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from Testing.SlicerHost.properties import dialect_class, unwrap

Answer = str | Callable[[Any], None]
"""The text of a button, menu entry or file; or what a person does to the open dialog."""


@dataclass(frozen=True)
class Box:
    """A message box that was shown."""

    icon: str
    title: str
    text: str
    details: str
    buttons: tuple[str, ...]


@dataclass
class Answers:
    """What the dialogs of one test asked, and what they will be told, in this order."""

    boxes: list[Box] = field(default_factory=list)
    prepared: list[Answer] = field(default_factory=list)

    def prepare(self, *answers: Answer) -> None:
        self.prepared += answers

    def take(self, question: str) -> Answer:
        if not self.prepared:
            raise AssertionError(f"a dialog asks, and the test prepared no answer: {question}")
        return self.prepared.pop(0)

    def clear(self) -> None:
        self.boxes.clear()
        self.prepared.clear()


answers = Answers()


class QDialog(dialect_class(QtWidgets.QDialog)):  # type: ignore[misc]
    """Any dialog of the module's own."""

    wrapped = QtWidgets.QDialog
    generated = True

    def exec(self) -> int:
        return _answered(self)


class QMessageBox(dialect_class(QtWidgets.QMessageBox)):  # type: ignore[misc]
    """A message; with one button it is answered by itself, with more the test must say."""

    wrapped = QtWidgets.QMessageBox
    generated = True

    def exec(self) -> int:
        # The one that unfolds the details is no answer.
        action = QtWidgets.QMessageBox.ButtonRole.ActionRole
        buttons = [_plain(b) for b in self.buttons() if self.buttonRole(b) != action]
        read = QtCore.QObject.property
        box = Box(
            read(self, "icon").name,
            read(self, "windowTitle").strip(),
            read(self, "text"),
            read(self, "detailedText"),
            tuple(buttons),
        )
        answers.boxes.append(box)
        if len(buttons) <= 1:
            if not buttons:
                buttons = [_plain(self.addButton(QtWidgets.QMessageBox.StandardButton.Ok))]
            return _click(self, buttons[0])
        return _click(self, answers.take(box.text))

    @classmethod
    def information(cls, *arguments: Any) -> int:
        return cls._ask("Information", arguments)

    @classmethod
    def warning(cls, *arguments: Any) -> int:
        return cls._ask("Warning", arguments)

    @classmethod
    def critical(cls, *arguments: Any) -> int:
        return cls._ask("Critical", arguments)

    @classmethod
    def question(cls, *arguments: Any) -> int:
        return cls._ask("Question", arguments)

    @classmethod
    def _ask(cls, icon: str, arguments: tuple[Any, ...]) -> int:
        parent, title, text, *rest = arguments
        box = cls(parent)
        box.setIcon(getattr(QtWidgets.QMessageBox.Icon, icon))
        box.setWindowTitle(title)
        box.setText(text)
        kinds = QtWidgets.QMessageBox.StandardButton
        default = kinds.Yes | kinds.No if icon == "Question" else kinds.Ok
        box.setStandardButtons(rest[0] if rest else default)
        return box.exec()


class QFileDialog(dialect_class(QtWidgets.QFileDialog)):  # type: ignore[misc]
    """The static questions; each gives the path alone, as PythonQt does."""

    wrapped = QtWidgets.QFileDialog
    generated = True

    def exec(self) -> int:
        return _answered(self)

    @staticmethod
    def getOpenFileName(_parent: Any = None, caption: str = "", *_rest: Any) -> str:
        return _text(caption)

    getSaveFileName = getExistingDirectory = getOpenFileName

    @staticmethod
    def getOpenFileNames(_parent: Any = None, caption: str = "", *_rest: Any) -> tuple[str, ...]:
        return tuple(name for name in _text(caption).split("\n") if name)


class QInputDialog(dialect_class(QtWidgets.QInputDialog)):  # type: ignore[misc]
    wrapped = QtWidgets.QInputDialog
    generated = True

    def exec(self) -> int:
        return _answered(self)

    @staticmethod
    def getText(_parent: Any, title: str, _label: str, *_rest: Any) -> str:
        return _text(title)

    getItem = getText


class QColorDialog(dialect_class(QtWidgets.QColorDialog)):  # type: ignore[misc]
    """The answer is a colour's name; an empty one stands for Cancel."""

    wrapped = QtWidgets.QColorDialog
    generated = True

    def exec(self) -> int:
        return _answered(self)

    @staticmethod
    def getColor(_initial: Any = None, _parent: Any = None, title: str = "", *_rest: Any) -> Any:
        return QtGui.QColor(_text(title or "a colour"))


class QMenu(dialect_class(QtWidgets.QMenu)):  # type: ignore[misc]
    """A menu opened at a point; the answer is the text of the entry."""

    wrapped = QtWidgets.QMenu
    generated = True

    def exec(self, *_point: Any) -> Any:
        entries = {_plain(action): action for action in self.actions()}
        wanted = answers.take(f"a menu with {', '.join(entries)}")
        action = entries[wanted]  # type: ignore[index]
        action.trigger()
        return action


_KINDS = (QDialog, QMessageBox, QFileDialog, QInputDialog, QColorDialog, QMenu)
OWN = {kind.__name__: kind for kind in _KINDS}


def _answered(dialog: Any) -> int:
    answer = answers.take(f"{dialog.className()} {QtCore.QObject.property(dialog, 'windowTitle')}")
    if not callable(answer):
        raise AssertionError(f"{dialog.className()} needs a function that uses it, not {answer!r}")
    dialog.show()
    answer(dialog)
    if QtWidgets.QWidget.isVisible(dialog):
        dialog.close()
        raise AssertionError(f"{dialog.className()} was left open")
    return QtWidgets.QDialog.result(dialog)


def _click(box: Any, wanted: Answer) -> int:
    if callable(wanted):
        answers.prepared.insert(0, wanted)
        return _answered(box)
    buttons = {_plain(button): button for button in box.buttons()}
    if wanted not in buttons:
        raise AssertionError(f"{wanted!r} is no button of {list(buttons)}")
    box.show()
    QtWidgets.QAbstractButton.click(unwrap(buttons[wanted]))
    return QtWidgets.QDialog.result(box)


def _text(question: str) -> str:
    answer = answers.take(question)
    if not isinstance(answer, str):
        raise AssertionError(f"{question} needs a text as its answer")
    return answer


def _plain(thing: Any) -> str:
    """Text of a button or menu entry, without the mark of its short cut."""
    return str(QtCore.QObject.property(unwrap(thing), "text")).replace("&", "")
