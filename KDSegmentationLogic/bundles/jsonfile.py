"""JSON that may come from anywhere, read strictly; JSON that people read, written plainly.

Standard library only.
"""

from __future__ import annotations

import json
from typing import Any

# Ours is nested about ten deep; whatever walks a value may then do so by recursion.
DEEPEST = 50


def parse_json(text: bytes) -> dict[str, Any]:
    """The object in ``text`` (UTF-8).

    Raises
    ------
    ValueError : not JSON, not an object, a key twice (readers would disagree which holds),
        NaN or infinity (no JSON), or nested deeper than ``DEEPEST``.
    """
    try:
        value = json.loads(
            text.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    _check_depth(value)
    return value


def format_json(value: Any) -> str:
    """Indented text; raises ValueError for NaN and infinity."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise ValueError("nested too deep")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")
