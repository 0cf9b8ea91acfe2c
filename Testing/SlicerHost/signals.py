"""Connecting signals as PythonQt does: by signature or by name, arguments cut to fit."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import shiboken6
from PySide6 import QtCore

Slot = Callable[..., Any]

errors: list[BaseException] = []
"""What slots raised: PythonQt prints it and goes on, the host's fixture fails the test."""


@dataclass
class _Connection:
    signature: str
    target: Slot
    relay: Slot


# By the address of the C++ object, which Python's wrapper may not outlive. As in PythonQt,
# callables are held until they are disconnected or the object is gone.
_connections: dict[int, list[_Connection]] = {}


class Signal:
    """A signal of one object: ``connect``, ``disconnect``, and a call emits it."""

    def __init__(self, sender: QtCore.QObject, name: str, signal: Any) -> None:
        self._sender = sender
        self._name = name
        self._signal = signal

    def connect(self, target: Slot) -> bool:
        return connect(self._sender, self._signature(), target)

    def disconnect(self, *target: Slot) -> bool:
        return disconnect(self._sender, self._signature(), *target)

    def __call__(self, *arguments: Any) -> None:
        try:
            self._signal.emit(*arguments)
        except TypeError:  # PySide's default is the shortest signature
            types = self._signature().partition("(")[2].rstrip(")").split(",")
            self._signal[tuple(types) if len(types) > 1 else types[0]].emit(*arguments)

    def _signature(self) -> str:
        meta = QtCore.QObject.metaObject(self._sender)
        for index in range(meta.methodCount()):
            method = meta.method(index)
            # Qt lists the full signature first, then those without the defaulted arguments.
            if _is_signal(method) and bytes(method.name().data()).decode() == self._name:
                return bytes(method.methodSignature().data()).decode()
        raise ValueError(f"{meta.className()} has no signal {self._name}")


def connect(sender: QtCore.QObject, signal: str, *target: Any) -> bool:
    """Call ``target`` on each ``signal``; or connect to ``(receiver, "slot(types)")``.

    Raises
    ------
    ValueError : ``sender`` has no such signal, where PythonQt would only print so.
    """
    signature = find(sender, signal)
    if len(target) == 2:
        receiver, slot = target
        name = slot.partition("(")[0]
        return connect(sender, signal, getattr(receiver, name))
    (function,) = target
    if not callable(function):
        raise TypeError(f"{function!r} cannot be called")
    relay = _relay(function)
    QtCore.QObject.connect(sender, "2" + signature, relay)
    address = shiboken6.getCppPointer(sender)[0]
    if address not in _connections:
        _connections[address] = []
        QtCore.QObject.connect(sender, "2destroyed()", lambda: _connections.pop(address, None))
    _connections[address].append(_Connection(signature, function, relay))
    return True


def disconnect(sender: QtCore.QObject, signal: str, *target: Slot) -> bool:
    """Undo one ``connect`` to ``target``, or all of the signal's; whether there was one."""
    signature = find(sender, signal)
    address = shiboken6.getCppPointer(sender)[0]
    made = _connections.get(address, [])
    found = [c for c in made if c.signature == signature and (not target or c.target == target[0])]
    for connection in found[:1] if target else found:
        QtCore.QObject.disconnect(sender, "2" + signature, connection.relay)
        made.remove(connection)
    return bool(found)


def count() -> int:
    """How many connections are alive; for tests that look for leaks."""
    return sum(len(made) for made in _connections.values())


def find(sender: QtCore.QObject, signal: str) -> str:
    """The signature by which Qt knows ``signal``, which is written as in C++."""
    known = getattr(type(sender), "cpp_signals", {})
    wanted = bytes(QtCore.QMetaObject.normalizedSignature(signal).data()).decode()
    wanted = known.get(wanted, wanted)
    meta = QtCore.QObject.metaObject(sender)
    if meta.indexOfSignal(wanted) < 0:
        raise ValueError(f"{meta.className()} has no signal {signal}")
    return wanted


def _relay(target: Slot) -> Slot:
    from Testing.SlicerHost.properties import adopt

    wanted = _wanted(target)

    def relay(*arguments: Any) -> None:
        try:
            target(*[adopt(argument) for argument in arguments[:wanted]])
        except Exception as error:
            errors.append(error)
            traceback.print_exc(file=sys.stderr)

    return relay


def _wanted(target: Slot) -> int | None:
    """How many arguments PythonQt hands over at most: it counts those with a default."""
    function = target.__func__ if inspect.ismethod(target) else target
    if not inspect.isfunction(function) or function.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return function.__code__.co_argcount - inspect.ismethod(target)


def _is_signal(method: QtCore.QMetaMethod) -> bool:
    return method.methodType() == QtCore.QMetaMethod.MethodType.Signal
