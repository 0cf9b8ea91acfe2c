"""The errors that a user can meet: each says what was wrong and what to do.

Standard library only. ``str(error)`` is one sentence of cause and one of remedy; the
command line prints it, the worker sends it, the widget shows it. Code that fails for a
reason the user cannot mend (a bug) raises an ordinary Python exception instead.
"""

from __future__ import annotations


class KDSegError(Exception):
    """Base of all expected failures.

    Parameters
    ----------
    cause : what was wrong, naming the file, the model or the setting.
    remedy : what the user can do about it.
    """

    kind = "error"

    def __init__(self, cause: str, remedy: str) -> None:
        self.cause = cause.rstrip()
        self.remedy = remedy.rstrip()
        super().__init__(f"{self.cause} {self.remedy}")

    def __reduce__(self) -> tuple[type[KDSegError], tuple[str, str]]:
        """Lets the error come back from another process."""
        return type(self), (self.cause, self.remedy)


class ImageError(KDSegError):
    """An image cannot be read, or its geometry or values make a result meaningless."""

    kind = "image"


class BundleError(KDSegError):
    """A model bundle is missing, damaged, unsafe or of an unknown format."""

    kind = "bundle"


class RegionError(KDSegError):
    """The region asked for does not fit the image or the model."""

    kind = "region"


class DeviceError(KDSegError):
    """The device or engine asked for is not there or failed."""

    kind = "device"


class OutOfMemoryError(KDSegError):
    """The work does not fit the memory, on any rung of the ladder."""

    kind = "memory"


class DependencyError(KDSegError):
    """An optional package is not installed."""

    kind = "dependency"


class DatasetError(KDSegError):
    """A data set's folder, description or labels are not what its layout promises."""

    kind = "dataset"


class TrainingError(KDSegError):
    """A training cannot start or go on."""

    kind = "training"


class SceneError(KDSegError):
    """A node of the Slicer scene cannot be used as asked."""

    kind = "scene"


class UsageError(KDSegError):
    """A command or call was given arguments that contradict each other."""

    kind = "usage"


class Cancelled(Exception):
    """The user cancelled; not a failure."""
