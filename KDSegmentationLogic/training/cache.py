"""Preprocessed cases on disk, so that each is read and resampled once for all trainings.

    cases-<settings>/<case>-<files>/image.npy     float32 [c, z, y, x]
                                    labels.npy    uint8 [z, y, x]
                                    sums.json     SHA-256 of both

``<settings>`` is a hash of channels, grid and label values, ``<files>`` of the case's files by
name, size and time of change. A case's folder appears whole or not at all; what does not match
its sums is made again. Arrays are mapped into memory, copied where written to: trainings beside
each other share the pages.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from KDSegmentationLogic.bundles.decoding import encode
from KDSegmentationLogic.bundles.description import Channel, Grid
from KDSegmentationLogic.files import sha256_of, staging_folder
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.layouts.base import CaseFiles

VERSION = 1
"""Counts changes of ``preprocess`` that change its result."""

Arrays = tuple[np.ndarray, np.ndarray]
_FILES = ("image.npy", "labels.npy")
_SUMS = "sums.json"


@dataclass(frozen=True)
class CaseCache:
    """The cache in one folder for one way of preprocessing.

    folder : of the run; ``cases-<settings>`` is made in it.
    values : label value of each class after background.
    """

    folder: Path
    channels: Sequence[Channel]
    grid: Grid
    values: Sequence[int]

    def place(self, case: CaseFiles) -> Path:
        """The folder of a case. ``OSError`` where one of its files is missing."""
        settings = [encode(list(self.channels)), encode(self.grid), list(self.values), VERSION]
        files = [
            (path.name, path.stat().st_size, path.stat().st_mtime_ns)
            for path in (*case.images, case.labels)
            if path is not None
        ]
        return self.folder / f"cases-{_hash(settings)}" / f"{case.name}-{_hash(files)}"

    def load(self, case: CaseFiles, make: Callable[[], Arrays], monitor: Monitor) -> Arrays:
        """Image and class indices of a case, by ``make`` where they are not on disk yet.

        What cannot be stored (a full disk, say) is used all the same, and ``monitor`` told.
        """
        try:
            place = self.place(case)
        except OSError:
            return make()  # reading the case says what is wrong
        if place.is_dir():
            found = _read(place)
            if found is not None:
                return found
            monitor.notice(f"The stored case {case.name} is damaged and is made again.")
            shutil.rmtree(place, ignore_errors=True)
        arrays = make()
        try:
            _write(place, arrays)
        except OSError as error:
            monitor.notice(f"The case {case.name} is not kept on disk ({error.strerror}).")
            return arrays
        return _mapped(place)


def _hash(made_of: object) -> str:
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:10]


def _write(place: Path, arrays: Arrays) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with staging_folder(place.parent) as staging:
        made = staging / place.name
        made.mkdir()
        for name, array in zip(_FILES, arrays, strict=True):
            np.save(made / name, array, allow_pickle=False)
        sums = {name: sha256_of(made / name) for name in _FILES}
        (made / _SUMS).write_text(json.dumps(sums), "utf-8")
        with contextlib.suppress(OSError):  # another training has just stored it
            os.replace(made, place)
    if not place.is_dir():
        raise OSError(0, "it could not be moved into place")


def _read(place: Path) -> Arrays | None:
    """The arrays; none where a file is missing or not what was written."""
    try:
        sums = json.loads((place / _SUMS).read_text("utf-8"))
        if any(sha256_of(place / name) != sums[name] for name in _FILES):
            return None
        return _mapped(place)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mapped(place: Path) -> Arrays:
    image, labels = (
        np.asarray(np.load(place / name, mmap_mode="c", allow_pickle=False)) for name in _FILES
    )
    return image, labels
