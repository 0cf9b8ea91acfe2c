"""PythonQt's object model on PySide's classes: properties are attributes, little else is.

``Dialect`` is mixed into a subclass of each Qt class. Objects that Qt itself makes (a table's
header) change to that subclass when they are first handed to Python.
"""

from __future__ import annotations

import enum
import re
from pathlib import PurePath
from typing import Any

import PySide6
import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from Testing.SlicerHost import signals

_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
_classes: dict[type, type] = {}
_properties: dict[type, dict[str, bool]] = {}
_being_read: set[tuple[int, str]] = set()

# In PySide, part of no Qt version that Slicer is built with, or Python's and not Qt's.
_REFUSED = {"QtMsgType", "QEnum", "QFlag"}


class Meta(type(QtCore.QObject)):  # type: ignore[misc]
    """``isinstance(x, qt.QWidget)`` holds for each widget, whichever class it came from."""

    def __instancecheck__(cls, instance: Any) -> bool:
        wrapped = cls.__dict__.get("wrapped")
        return isinstance(instance, wrapped) if wrapped else type.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, other: type) -> bool:
        wrapped = cls.__dict__.get("wrapped")
        return issubclass(other, wrapped) if wrapped else type.__subclasscheck__(cls, other)


class Dialect:
    """Attribute access as PythonQt has it."""

    stand_in = False
    """Whether the class is a stand-in of this host, whose private names may be set."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return super().__getattribute__(name)
        if name == "name":
            name = "objectName"
        if name in properties(type(self)) or name in _dynamic(self):
            # Qt asks Python for a virtual getter (sizeHint) while the property is read.
            if (id(self), name) in _being_read:
                return super().__getattribute__(name)
            _being_read.add((id(self), name))
            try:
                return adopt(QtCore.QObject.property(self, name))
            finally:
                _being_read.discard((id(self), name))
        if name in ("connect", "disconnect"):  # PySide has its own, whatever a subclass says
            return getattr(Dialect, name).__get__(self)
        value = super().__getattribute__(name)
        if isinstance(value, QtCore.SignalInstance):
            return signals.Signal(self, name, value)
        return _Call(value) if type(value).__name__ == "builtin_function_or_method" else value

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "name":
            name = "objectName"
        known = properties(type(self))
        if name in known or name in _dynamic(self):
            self._assign(name, value, writable=known.get(name, True))
        elif _is_users(type(self)) or (self.stand_in and name.startswith("_")):
            super().__setattr__(name, value)
        else:
            raise AttributeError(
                f"{type(self).__name__} has no property {name!r}, and Slicer lets no other"
                " attribute be set on a Qt object"
            )

    def _assign(self, name: str, value: Any, writable: bool) -> None:
        if not writable:
            raise AttributeError(f"the property {name} of {type(self).__name__} is read only")
        if isinstance(value, PurePath):
            raise TypeError(f"{name} takes no pathlib path: write str(path)")
        if not QtCore.QObject.setProperty(self, name, value) and name in properties(type(self)):
            raise AttributeError(f"{name} of {type(self).__name__} does not take {value!r}")

    def connect(self, signal: str, *target: Any) -> bool:
        return signals.connect(self, signal, *target)

    def disconnect(self, signal: str, *target: Any) -> bool:
        return signals.disconnect(self, signal, *target)

    def className(self) -> str:  # noqa: N802 (PythonQt's name)
        return type(self).__name__

    def delete(self) -> None:
        """PythonQt's way to destroy the C++ object at once."""
        shiboken6.delete(self)

    def findChild(self, kind: Any, name: str = "") -> Any:  # noqa: N802
        found = self.findChildren(kind, name)
        return found[0] if found else None

    def findChildren(self, kind: Any = QtCore.QObject, name: str = "") -> tuple[Any, ...]:  # noqa: N802
        """Children of a class (or a class's name, as in PythonQt), at any depth."""
        every = [adopt(child) for child in QtCore.QObject.findChildren(self, QtCore.QObject)]
        return tuple(
            child
            for child in every
            if (child.inherits(kind) if isinstance(kind, str) else isinstance(child, kind))
            and (not name or QtCore.QObject.objectName(child) == name)
        )

    def inherits(self, name: str) -> bool:
        return any(base.__name__ == name for base in type(self).__mro__)

    def exec_(self, *arguments: Any) -> Any:
        return self.exec(*arguments)  # type: ignore[attr-defined]


class _Call:
    """A method of Qt, as PythonQt calls it: by position, integers for enums, no paths."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __call__(self, *arguments: Any) -> Any:
        for argument in arguments:
            if isinstance(argument, PurePath):
                raise TypeError(f"{self._method.__name__} takes no pathlib path: write str(path)")
        return adopt(with_enums(self._method, arguments))


def with_enums(method: Any, arguments: tuple[Any, ...]) -> Any:
    """Call ``method``; where PySide refuses integers, turn them into the enums it wants."""
    try:
        return method(*arguments)
    except TypeError as error:
        if not any(type(argument) is int for argument in arguments):
            raise
        for wanted in re.findall(r"\(([^()]*)\)$", str(error), re.MULTILINE):
            types = re.findall(r": ([\w.]+)", wanted)
            if len(types) >= len(arguments):
                tried = [_as_enum(a, _resolve(t)) for a, t in zip(arguments, types, strict=False)]
                if tried != list(arguments) or any(
                    type(a) is not type(b) for a, b in zip(tried, arguments, strict=True)
                ):
                    try:
                        return method(*tried)
                    except TypeError:
                        continue
        raise


def _as_enum(value: Any, wanted: Any) -> Any:
    if type(value) is int and isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return wanted(value)
    return value


def _resolve(dotted: str) -> Any:
    found: Any = PySide6
    for name in dotted.removeprefix("PySide6.").split("."):
        found = getattr(found, name, None)
    return found


def dialect_class(wrapped: type) -> type:
    """The subclass of a Qt class that speaks PythonQt's dialect; the same one each time."""
    if wrapped not in _classes:

        def __init__(self: Any, *arguments: Any) -> None:  # noqa: N807
            if any(isinstance(argument, PurePath) for argument in arguments):
                raise TypeError(f"{wrapped.__name__} takes no pathlib path: write str(path)")
            with_enums(lambda *given: wrapped.__init__(self, *given), arguments)  # type: ignore[misc]

        names = {"__init__": __init__, "wrapped": wrapped, "__module__": "qt", "generated": True}
        _classes[wrapped] = Meta(wrapped.__name__, (Dialect, wrapped), names)
    return _classes[wrapped]


def qt_name(name: str) -> Any:
    """What ``qt.name`` is.

    Raises
    ------
    AttributeError : neither Qt 5 nor Qt 6 has it.
    """
    if not re.match(r"Q[A-Z]|Qt$", name) or name in _REFUSED:
        raise AttributeError(f"module 'qt' has no attribute {name!r}")
    for module in _MODULES:
        found = getattr(module, name, None)
        if found is not None:
            is_object = isinstance(found, type) and issubclass(found, QtCore.QObject)
            return dialect_class(found) if is_object else found
    raise AttributeError(f"module 'qt' has no attribute {name!r}")


def adopt(value: Any) -> Any:
    """The same value, in PythonQt's dialect: lists become tuples, Qt's own objects change."""
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return tuple(adopt(entry) for entry in value)
    if isinstance(value, QtCore.QObject) and type(value).__module__.startswith("PySide6."):
        value.__class__ = dialect_class(type(value))
    return value


def properties(kind: type) -> dict[str, bool]:
    """Names of the class's Qt properties, and whether each can be written."""
    if kind not in _properties:
        meta = kind.staticMetaObject  # type: ignore[attr-defined]
        found = (meta.property(index) for index in range(meta.propertyCount()))
        _properties[kind] = {entry.name(): entry.isWritable() for entry in found}
    return _properties[kind]


def _dynamic(instance: Any) -> list[str]:
    names = QtCore.QObject.dynamicPropertyNames(instance)
    return [bytes(name.data()).decode() for name in names]


def _is_users(kind: type) -> bool:
    """Whether a class is the module's own subclass, on which PythonQt lets all be set."""
    return not (kind.__dict__.get("generated") or kind.__dict__.get("stand_in"))
