"""JSON that may come from anywhere, read strictly; JSON that people read, written plainly.

Standard library only.
"""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: bytes) -> dict[str, Any]:
    """The object in ``text`` (UTF-8).

    Raises
    ------
    ValueError : not JSON, not an object, a key twice (readers would disagree which holds),
        NaN or infinity (no JSON), or nested deeper than Python reads.
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
    return value


def format_json(value: Any) -> str:
    """Indented text; raises ValueError for NaN and infinity."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")
