"""What was made in a folder, of what and how: by it a run that was stopped goes on.

Standard library and imaging only. The manifest is one JSON file beside the results, written
anew in one step as each case ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from KDSegmentationLogic.errors import ImageError, UsageError
from KDSegmentationLogic.files import sha256_of, write_text
from KDSegmentationLogic.imaging.reading import read_image

MANIFEST = "kdseg-cohort.json"
_FORMAT = 1

Recipe = dict[str, Any]


class Manifest:
    """The manifest of one folder of results.

    An entry, by the name of the case's first file, holds the recipe, the files with size and
    SHA-256 (null for one that was begun and never finished), and what was told of the case.
    One that cannot be read counts as empty; ``damaged`` says so.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        self.damaged = False
        self._entries: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            try:
                self._entries = _checked(json.loads(self.path.read_text(encoding="utf-8")))
            except (OSError, ValueError):
                self.damaged = True

    def finished(self, files: Sequence[Path], recipe: Recipe) -> dict[str, Any] | None:
        """What was told of a case, where all its files are as they were made by this recipe."""
        entry = self._entries.get(files[0].name)
        if entry is None or entry["recipe"] != _plain(recipe) or entry["told"] is None:
            return None
        # of a single network some maps are not made; a file that is gone is no longer finished
        whole = all(_as_made(self.path.parent / name, made) for name, made in _made(entry))
        return entry["told"] if whole else None

    def check_replaceable(self, files: Iterable[Path]) -> None:
        """Raise ``UsageError`` for a file that is not this manifest's own, or was edited since.

        A file that differs from what was made and cannot be read is damaged; it may go.
        """
        known = {name: made for entry in self._entries.values() for name, made in _made(entry)}
        for path in files:
            if not path.exists():
                continue
            if path.name not in known:
                why = (
                    f"{self.path.name} in {path.parent} cannot be read, and so nothing is known"
                    f" of {path.name}, which is there already."
                    if self.damaged
                    else f"{path} already exists, and was not made by such a run."
                )
                raise UsageError(why, "Give another output, or --overwrite to replace.")
            made = known[path.name]
            if made is not None and not _as_made(path, made) and _readable(path):
                raise UsageError(
                    f"{path} was changed since it was made.",
                    "Move it elsewhere to keep it, or give --overwrite to make all again.",
                )

    def begin(self, work: Iterable[tuple[Sequence[Path], Recipe]]) -> None:
        """Note what is going to be made, so that what a kill leaves is known as this run's."""
        for files, recipe in work:
            self._entries[files[0].name] = {
                "recipe": _plain(recipe),
                "files": {path.name: None for path in files},
                "told": None,
            }
        self._write()

    def finish(self, files: Sequence[Path], told: dict[str, Any]) -> None:
        """Note that a case is done. Raises ``OSError`` where that cannot be written."""
        entry = self._entries[files[0].name]
        entry["files"] = {p.name: _stamp(p) for p in files if p.exists()}
        entry["told"] = told
        self._write()

    def _write(self) -> None:
        content = {"format": _FORMAT, "cases": self._entries}
        write_text(self.path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def stamps_of(path: Path) -> list[dict[str, Any]]:
    """Name, size and time of change of a file, or of all the files in a folder, for a recipe.

    Raises nothing: a file that is not there will be told when it is read.
    """
    try:
        if not path.is_dir():
            return [_seen(path)]
        inside = [_seen(file) for file in sorted(path.rglob("*")) if file.is_file()]
    except OSError:
        return []
    text = json.dumps(inside)
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return [{"name": path.name, "files": len(inside), "sha256_of_names_sizes_times": digest}]


def _seen(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"name": path.name, "size": status.st_size, "modified_ns": status.st_mtime_ns}


def _stamp(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}


def _as_made(path: Path, made: dict[str, Any] | None) -> bool:
    try:
        return made is not None and path.stat().st_size == made["size"] and _stamp(path) == made
    except OSError:
        return False


def _readable(path: Path) -> bool:
    try:
        read_image(path)
    except ImageError:
        return False
    return True


def _made(entry: dict[str, Any]) -> list[tuple[str, dict[str, Any] | None]]:
    return list(entry["files"].items())


def _plain(recipe: Recipe) -> Any:
    """As it will come back from JSON."""
    return json.loads(json.dumps(recipe))


def _checked(content: Any) -> dict[str, dict[str, Any]]:
    """The entries. Raises ``ValueError`` for anything but what ``_write`` writes."""
    cases = content.get("cases") if isinstance(content, dict) else None
    if not isinstance(cases, dict) or content.get("format") != _FORMAT:
        raise ValueError("no manifest")
    for entry in cases.values():
        if not isinstance(entry, dict) or not {"recipe", "files", "told"} <= entry.keys():
            raise ValueError("no entry")
        if not isinstance(entry["files"], dict):
            raise ValueError("no files")
        for made in entry["files"].values():
            if made is not None and not (
                isinstance(made, dict) and {"size", "sha256"} <= made.keys()
            ):
                raise ValueError("no file")
    return cases
