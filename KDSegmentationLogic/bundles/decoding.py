"""From parsed JSON to typed dataclasses and back, refusing what does not fit.

Standard library only. The type hints of the dataclass are the schema: one place says what
a file may hold, and every message names the key that is wrong.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class DecodingError(ValueError):
    """``where`` is the path of the key, ``problem`` what is wrong with its value."""

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        self.problem = problem
        super().__init__(f"{where}: {problem}")


def decode(kind: type[T], value: Any, where: str) -> T:
    """Build ``kind`` (a dataclass) from a dictionary.

    Hints may be str, int, float, bool, Any, Literal, X | None, tuple[X, ...],
    tuple[X, Y, Z], dict[str, X] and other dataclasses. Unknown keys are refused: a
    misspelt optional key would otherwise be ignored in silence.

    Raises
    ------
    DecodingError : a key is missing or unknown, or a value is of the wrong type.
    """
    if not isinstance(value, dict):
        raise DecodingError(where, f"expected an object, found {_shown(value)}")
    hints = _hints(kind)  # type: ignore[arg-type]
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in value:
        if key not in fields:
            raise DecodingError(f"{where}.{key}", "is not a known key")
    arguments = {}
    for name, field in fields.items():
        if name in value:
            arguments[name] = _decode_hint(hints[name], value[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise DecodingError(f"{where}.{name}", "is missing")
    try:
        return kind(**arguments)
    except ValueError as error:
        if isinstance(error, DecodingError):
            raise
        raise DecodingError(where, str(error)) from None


def encode(value: Any, omit_defaults: bool = False) -> Any:
    """The inverse of ``decode``: dataclasses to dictionaries, tuples to lists.

    Optional fields that are None are left out, so that files stay readable; with
    ``omit_defaults`` all fields at their default, so that what is compared or hashed does not
    change when a dataclass gets a new field.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        result = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if item is None and field.default is None:
                continue
            if omit_defaults and item == _default(field):
                continue
            result[field.name] = encode(item, omit_defaults)
        return result
    if isinstance(value, (list, tuple)):
        return [encode(item, omit_defaults) for item in value]
    if isinstance(value, dict):
        return {key: encode(item, omit_defaults) for key, item in value.items()}
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The type hints of a dataclass; resolving their texts costs more than all the rest."""
    return typing.get_type_hints(kind)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _decode_hint(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        (inner,) = (a for a in arguments if a is not type(None))
        return _decode_hint(inner, value, where)
    if origin is typing.Literal:
        for known in arguments:
            if type(value) is type(known) and value == known:
                return known
        listed = ", ".join(map(str, arguments))
        raise DecodingError(where, f"expected one of {listed}, found {_shown(value)}")
    if origin is tuple:
        return _decode_tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise DecodingError(where, f"expected an object, found {_shown(value)}")
        return {str(k): _decode_hint(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast(type, hint), value, where)
    return _SCALARS[hint](value, where)


def _decode_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise DecodingError(where, f"expected a list, found {_shown(value)}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise DecodingError(where, f"expected {len(arguments)} values, found {len(value)}")
    return tuple(
        _decode_hint(hint, item, f"{where}[{i}]")
        for i, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DecodingError(where, f"expected text, found {_shown(value)}")
    return value


def _whole_number(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DecodingError(where, f"expected a whole number, found {_shown(value)}")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DecodingError(where, f"expected a number, found {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DecodingError(where, "expected a finite number")
    return number


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise DecodingError(where, f"expected true or false, found {_shown(value)}")
    return value


_SCALARS: dict[Any, Callable[[Any, str], Any]] = {
    str: _text,
    int: _whole_number,
    float: _number,
    bool: _flag,
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
