"""Where the files beside the code are: bundled models, study files, icons.

Standard library only. One look-up serves the three ways the package is installed:

=================  =========================================================
source tree        ``<root>/KDSegmentationLogic`` with ``<root>/Resources``
wheel              ``KDSegmentationLogic/Resources`` inside the package
Slicer install     ``KDSegmentationLogic/Resources`` inside the package
=================  =========================================================
"""

from __future__ import annotations

from pathlib import Path

from KDSegmentationLogic.errors import BundleError

_PACKAGE = Path(__file__).resolve().parent


def resources_folder() -> Path:
    """The folder that holds ``Models`` and ``Studies``.

    Raises
    ------
    BundleError : neither place has it, i.e. the installation is incomplete.
    """
    for candidate in (_PACKAGE / "Resources", _PACKAGE.parent / "Resources"):
        if (candidate / "Models").is_dir():
            return candidate
    raise BundleError(
        f"The folder Resources/Models is missing beside {_PACKAGE}.",
        "Install KDSegmentation again to have the models that come with it.",
    )


def models_folder() -> Path:
    """The folder of the models that come with the package."""
    return resources_folder() / "Models"
