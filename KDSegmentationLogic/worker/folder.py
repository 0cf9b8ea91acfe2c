"""The client's private temporary folder, through which volumes go to the child and back."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk

from KDSegmentationLogic.errors import KDSegError
from KDSegmentationLogic.worker.volumes import (
    Volume,
    holds,
    read_volume,
    remove_file,
    write_volume,
)

_PREFIX = "kdseg-worker-"
_STALE_AFTER_SECONDS = 24 * 3600


class SharedFolder:
    """Made when it is first needed, and again where something cleaned it away.

    The images of the last case stay, so that the next click on the same volume costs a
    comparison instead of writing, and the child its copy in memory.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._held: list[Volume] = []
        self._count = 0

    @property
    def path(self) -> Path:
        """The folder, which now exists. Raises ``KDSegError`` where none can be made."""
        try:
            if self._path is None:
                _remove_stale()
                # only its owner may look into it: the volumes are of patients
                self._path = Path(tempfile.mkdtemp(prefix=_PREFIX)).absolute()
            self._path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise KDSegError(
                f"No temporary folder can be made to hand volumes over ({error}).",
                "Set TMPDIR (Windows: TEMP) to a folder that you may write to, and start again.",
            ) from error
        return self._path

    def hand_over(self, images: Sequence[sitk.Image]) -> tuple[Volume, ...]:
        """The images as files for the child; those of another case are removed.

        Raises
        ------
        KDSegError, ImageError : as ``write_volume``.
        """
        folder = self.path
        given = [self._held_file(image, folder) for image in images]
        for volume in self._held:
            if volume not in given:
                remove_file(volume, folder)
        self._held = [volume for volume in given if volume]
        for index, image in enumerate(images):
            if given[index] is None:
                self._count += 1
                written = write_volume(image, folder, f"volume-{self._count}.raw")
                self._held.append(written)
                given[index] = written
        return tuple(volume for volume in given if volume)

    def take(self, volume: Volume) -> sitk.Image:
        """A result of the child, whose file is then removed. Raises ``KDSegError``."""
        folder = self.path
        try:
            return read_volume(volume, folder)
        finally:
            remove_file(volume, folder)

    def clear_results(self) -> None:
        """Remove what a child left that was killed at its work."""
        if self._path is not None:
            for path in self._path.glob("result-*"):
                with contextlib.suppress(OSError):
                    path.unlink()

    def remove(self) -> None:
        """Remove the folder with all in it."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
        self._path, self._held = None, []

    def _held_file(self, image: sitk.Image, folder: Path) -> Volume | None:
        return next((v for v in self._held if holds(v, folder, image)), None)


def _remove_stale() -> None:
    """Folders older than a day: of clients that ended together with their child, in a power cut.

    A client that sat idle for so long makes its own again.
    """
    oldest = time.time() - _STALE_AFTER_SECONDS
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
