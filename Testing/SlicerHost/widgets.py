"""Helpers of the stand-ins: a stand-in class, and its Qt properties in one line each."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

from Testing.SlicerHost.loader import register
from Testing.SlicerHost.properties import dialect_class


def base(wrapped: type) -> Any:
    """The class to derive a stand-in from."""
    return dialect_class(wrapped)


def stand_in(kind: type) -> type:
    """Class decorator: private names may be set by the host, ``.ui`` files can name it."""
    kind.stand_in = True  # type: ignore[attr-defined]
    return register(kind)


def stored(
    kind: type | str, default: Any, changed: Callable[[Any], None] | None = None
) -> QtCore.Property:
    """A Qt property that remembers what it was set to, and tells ``changed(self)``."""
    slot = f"_stored_{len(_names)}"
    _names.append(slot)

    def read(self: Any) -> Any:
        return self.__dict__.get(slot, default)

    def write(self: Any, value: Any) -> None:
        self.__dict__[slot] = value
        if changed is not None:
            changed(self)

    return QtCore.Property(kind, read, write)


_names: list[str] = []


def weakly(method: Callable[..., None]) -> Callable[..., None]:
    """An observer or slot that keeps no widget alive: VTK and Qt hold on to what they call."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        if (alive := reference()) is not None:
            alive(*arguments)

    return call


def inside(sender: QtCore.QObject, signal: str, method: Callable[..., None]) -> None:
    """Connect two parts of one stand-in."""
    QtCore.QObject.connect(sender, "2" + signal, weakly(method))
