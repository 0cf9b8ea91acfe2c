"""From parsed JSON to dataclasses: what costs is done once."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any

import pytest

from KDSegmentationLogic.bundles.decoding import DecodingError, decode


@dataclass(frozen=True)
class Inner:
    number: int


@dataclass(frozen=True)
class Outer:
    items: tuple[Inner, ...]


def test_the_hints_of_a_class_are_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve, asked = typing.get_type_hints, []

    def counted(kind: Any) -> dict[str, Any]:
        asked.append(kind)
        return resolve(kind)

    monkeypatch.setattr(typing, "get_type_hints", counted)
    for number in (3, 5):
        items = [{"number": number}] * 4
        assert decode(Outer, {"items": items}, "file") == Outer((Inner(number),) * 4)

    assert sorted(kind.__name__ for kind in asked) == ["Inner", "Outer"]


def test_a_second_reading_refuses_as_the_first_did() -> None:
    decode(Outer, {"items": [{"number": 1}]}, "file")

    with pytest.raises(DecodingError, match=r"file\.items\[0\]\.number: expected a whole number"):
        decode(Outer, {"items": [{"number": "1"}]}, "file")
