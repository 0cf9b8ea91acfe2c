"""PythonQt's object model on PySide's classes: properties are attributes, little else is.

``Dialect`` is mixed into a subclass of each Qt class; objects that Qt itself makes are handed
out inside a ``Foreign``. Both take what they do from ``_read`` and ``_write``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import Any

import PySide6
import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from Testing.SlicerHost import signals

_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
_classes: dict[type, type] = {}
_properties: dict[type, dict[str, bool]] = {}
loading: list[bool] = []
"""Not empty while PySide reads a ``.ui`` file: it sets the named children as attributes."""

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
    """Attribute access as PythonQt has it; mixed into a subclass of each Qt class."""

    stand_in = False
    """Whether the class is a stand-in of this host, whose private names may be set."""

    def __getattribute__(self, name: str) -> Any:
        plain = super().__getattribute__
        return plain(name) if name.startswith("_") else _read(self, name, plain)

    def __setattr__(self, name: str, value: Any) -> None:
        if _write(self, name, value):
            return
        if loading and isinstance(value, QtCore.QObject) and not name.startswith("_"):
            return
        if _is_users(type(self)) or (self.stand_in and name.startswith("_")):
            super().__setattr__(name, value)
        else:
            raise _no_such_property(self, name)

    def exec_(self, *arguments: Any) -> Any:
        return self.exec(*arguments)  # type: ignore[attr-defined]


class Foreign:
    """An object that Qt itself made (a table's header), in the dialect."""

    def __init__(self, raw: QtCore.QObject) -> None:
        object.__setattr__(self, "_raw", raw)

    @property
    def __class__(self) -> type:
        return type(self._raw)

    def __getattr__(self, name: str) -> Any:
        return _read(self._raw, name, lambda _name: getattr(self._raw, name))

    def __setattr__(self, name: str, value: Any) -> None:
        if not _write(self._raw, name, value):
            raise _no_such_property(self._raw, name)

    def __eq__(self, other: object) -> bool:
        return self._raw == unwrap(other)

    def __hash__(self) -> int:
        return hash(self._raw)


def unwrap(value: Any) -> Any:
    """What PySide knows: the object behind a ``Foreign``, all else as it is."""
    return value._raw if type(value) is Foreign else value


def _read(instance: Any, name: str, plain: Callable[[str], Any]) -> Any:
    _alive(instance, name)
    if name == "name":
        name = "objectName"
    if name in properties(type(instance)):
        # Qt asks Python for a virtual getter (sizeHint) while the property is read.
        if (id(instance), name) in _being_read:
            return plain(name)
        _being_read.add((id(instance), name))
        try:
            return adopt(QtCore.QObject.property(instance, name))
        finally:
            _being_read.discard((id(instance), name))
    if name in _PYTHONQTS:  # PySide has its own connect, whatever a subclass says
        return partial(_PYTHONQTS[name], instance)
    try:
        value = plain(name)
    except AttributeError:
        if name in _dynamic(instance):
            return adopt(QtCore.QObject.property(instance, name))
        raise
    if isinstance(value, QtCore.SignalInstance):
        return signals.Signal(instance, name, value)
    return _Call(value) if type(value).__name__ == "builtin_function_or_method" else value


def _write(instance: Any, name: str, value: Any) -> bool:
    """Set a property; false if there is none of this name."""
    _alive(instance, name)
    if name == "name":
        name = "objectName"
    known, kind = properties(type(instance)), type(instance).__name__
    if name not in known and name not in _dynamic(instance):
        return False
    if not known.get(name, True):
        raise AttributeError(f"the property {name} of {kind} is read only")
    if isinstance(value, PurePath):
        raise TypeError(f"{name} takes no pathlib path: write str(path)")
    given = list(value) if isinstance(value, tuple) else unwrap(value)
    if not QtCore.QObject.setProperty(instance, name, given) and name in known:
        raise AttributeError(f"{name} of {kind} does not take {value!r}")
    return True


def _no_such_property(instance: Any, name: str) -> AttributeError:
    return AttributeError(
        f"{type(instance).__name__} has no property {name!r}, and Slicer lets no other"
        " attribute be set on a Qt object"
    )


def _class_name(instance: Any) -> str:
    return type(instance).__name__


def _inherits(instance: Any, name: str) -> bool:
    return any(base.__name__ == name for base in type(instance).__mro__)


def _find_children(instance: Any, kind: Any = QtCore.QObject, name: str = "") -> tuple[Any, ...]:
    """Children of a class (or a class's name, as in PythonQt), at any depth."""
    every = QtCore.QObject.findChildren(instance, QtCore.QObject)
    return tuple(
        adopt(child)
        for child in every
        if (_inherits(child, kind) if isinstance(kind, str) else isinstance(child, kind))
        and (not name or QtCore.QObject.objectName(child) == name)
    )


def _find_child(instance: Any, kind: Any, name: str = "") -> Any:
    found = _find_children(instance, kind, name)
    return found[0] if found else None


_PYTHONQTS: dict[str, Callable[..., Any]] = {
    "connect": signals.connect,
    "disconnect": signals.disconnect,
    "className": _class_name,
    "inherits": _inherits,
    "delete": shiboken6.delete,
    "findChild": _find_child,
    "findChildren": _find_children,
}


class _Call:
    """A method of Qt, as PythonQt calls it: by position, integers for enums, no paths."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Call) and self._method == other._method

    def __hash__(self) -> int:
        return hash(self._method)

    def __call__(self, *arguments: Any) -> Any:
        for argument in arguments:
            if isinstance(argument, PurePath):
                raise TypeError(f"{self._method.__name__} takes no pathlib path: write str(path)")
        return adopt(with_enums(self._method, tuple(unwrap(entry) for entry in arguments)))


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
            given = tuple(unwrap(argument) for argument in arguments)
            with_enums(partial(wrapped.__init__, self), given)  # type: ignore[misc]

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
    """The same value, in PythonQt's dialect: lists become tuples, Qt's own objects ``Foreign``."""
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return tuple(adopt(entry) for entry in value)
    if isinstance(value, QtCore.QObject) and type(value).__module__.startswith("PySide6."):
        return Foreign(value)
    return value


def properties(kind: type) -> dict[str, bool]:
    """Names of the class's Qt properties, and whether each can be written."""
    if kind not in _properties:
        meta = kind.staticMetaObject  # type: ignore[attr-defined]
        found = (meta.property(index) for index in range(meta.propertyCount()))
        _properties[kind] = {entry.name(): entry.isWritable() for entry in found}
    return _properties[kind]


def _alive(instance: Any, name: str) -> None:
    """As PythonQt: an object that Qt has deleted can be held, and no more."""
    if not shiboken6.isValid(instance):
        raise ValueError(f"{name} of a {type(instance).__name__} that Qt has destroyed")


def _dynamic(instance: Any) -> list[str]:
    names = QtCore.QObject.dynamicPropertyNames(instance)
    return [bytes(name.data()).decode() for name in names]


def _is_users(kind: type) -> bool:
    """Whether a class is the module's own subclass, on which PythonQt lets all be set."""
    return not (kind.__dict__.get("generated") or kind.__dict__.get("stand_in"))
