"""Which file names a bundle may hold: those that mean the same on every system.

Standard library only.
"""

from __future__ import annotations

import re

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._+()-]*")
# Windows takes these for devices, with any ending.
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(10)}
# With the folder of the models before it, Windows' limit of 260 is not reached.
_LONGEST = 150


def path_problem(path: str) -> str | None:
    """What is wrong with ``path`` as a file inside a bundle (``/`` between); None if nothing."""
    if path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", path):
        return "is an absolute path"
    if "\\" in path:
        return "holds a backslash"
    parts = path.split("/")
    if ".." in parts:
        return "leaves the bundle"
    if len(path) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    for part in parts:
        if not _PART.fullmatch(part) or part.endswith((".", " ")):
            return "holds a name other than of A-Z a-z 0-9 . _ + - ( ) and space"
        if part.split(".")[0].strip().lower() in _DEVICES:
            return "holds a name that Windows keeps for a device"
    return None
