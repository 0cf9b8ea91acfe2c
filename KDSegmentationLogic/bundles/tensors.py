"""Reading the head of a .safetensors file without torch, and checking that it holds together.

Standard library only. Layout: 8 bytes with the head's length (little endian), the head as
JSON, then the tensors' bytes. Source: the format's description in the safetensors project.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from KDSegmentationLogic.bundles.jsonfile import parse_json

# The head of 20,000 tensors. (The safetensors library reads heads of up to 100 MB.)
_LONGEST_HEAD = 4 * 1024**2

_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "I16": 2,
    "I32": 4,
    "I64": 8,
    "F16": 2,
    "BF16": 2,
    "F32": 4,
    "F64": 8,
}


@dataclass(frozen=True)
class TensorHead:
    """One tensor: its type as safetensors names it (``F32``), its shape, its span of bytes."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_heads(path: Path) -> dict[str, TensorHead]:
    """The tensors of a .safetensors file, by name.

    Raises
    ------
    ValueError : the file is no safetensors file, is cut short, or contradicts itself; the
        message completes the sentence "the file ...".
    OSError : the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start[:2] == b"PK" or start[:1] == b"\x80":
            raise ValueError("is a pickle (it could run code), not safetensors")
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length < 2:
            raise ValueError("is not a safetensors file")
        if length > _LONGEST_HEAD:
            raise ValueError(
                f"is not a safetensors file, or its head is larger than {_LONGEST_HEAD >> 20} MiB"
            )
        if 8 + length > size:
            raise ValueError("ends before its head does")
        text = file.read(length)
    if not text.startswith(b"{"):
        raise ValueError("is not a safetensors file")
    try:
        parsed = parse_json(text)
    except ValueError as error:
        raise ValueError(f"has an unreadable head ({error})") from None
    parsed.pop("__metadata__", None)
    heads = {name: _head(name, entry) for name, entry in parsed.items()}
    _check_spans(heads, size - 8 - length)
    return heads


def _head(name: str, entry: Any) -> TensorHead:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"describes the tensor {name!r} incompletely")
    dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BYTES:
        raise ValueError(f"gives the tensor {name!r} the unknown type {dtype!r}")
    if not (_counts(shape) and _counts(span) and len(span) == 2 and len(shape) <= 8):
        raise ValueError(f"gives the tensor {name!r} an impossible shape or place")
    if span[1] - span[0] != math.prod(shape) * _BYTES[dtype]:
        raise ValueError(
            f"gives the tensor {name!r} the shape {shape}, which does not fit its bytes"
        )
    return TensorHead(dtype, tuple(shape), span[0], span[1])


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**48 for v in values)


def _check_spans(heads: dict[str, TensorHead], size: int) -> None:
    """Every byte after the head belongs to exactly one tensor."""
    if not heads:
        raise ValueError("holds no tensors")
    end = 0
    for start, stop in sorted((head.start, head.end) for head in heads.values()):
        if start != end:
            raise ValueError("has tensors that overlap or leave gaps")
        end = stop
    if end > size:
        raise ValueError(f"is cut short: {end - size} bytes are missing")
    if end < size:
        raise ValueError(f"has {size - end} bytes after its last tensor")
