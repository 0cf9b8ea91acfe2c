"""Whether the packages that segmenting needs are there; Slicer comes without most of them.

Standard library only, so that it can be asked before anything else is imported.
"""

from __future__ import annotations

import importlib.util

from KDSegmentationLogic.errors import DependencyError

SEGMENTING = ("numpy", "SimpleITK", "scipy", "psutil", "safetensors", "torch")
"""What segmenting imports."""

_PACKAGES = {"yaml": "PyYAML", "lightning_fabric": "lightning-fabric"}


def missing(*names: str) -> list[str]:
    """Those of the import names that no installed package has."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def require(*names: str) -> None:
    """Check that top-level modules can be found, without importing them.

    Raises
    ------
    DependencyError : names all that are missing, and the line that installs them.
    """
    if absent := missing(*names):
        packages = [_PACKAGES.get(name, name) for name in absent]
        line = " ".join(packages)
        if absent == ["torch"]:
            raise DependencyError(
                "Not installed here: torch.",
                "Run pip install torch, or in Slicer install it with the PyTorch extension.",
            )
        raise DependencyError(
            f"Not installed here: {', '.join(packages)}.",
            f"Run pip install {line}, or in Slicer's Python console "
            f'slicer.util.pip_install("{line}").',
        )
