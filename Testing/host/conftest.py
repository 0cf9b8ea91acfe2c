"""The host's fixtures, and a volume that lies askew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.SlicerHost.fixture import host, started

__all__ = ["host"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One host for all tests of a file that leave nothing behind."""
    with started(tmp_path_factory.mktemp("host")) as running:
        yield running


@pytest.fixture
def qt(shared: Any) -> Any:  # noqa: ARG001
    import qt

    return qt


@pytest.fixture
def ctk(shared: Any) -> Any:  # noqa: ARG001
    import ctk

    return ctk


@pytest.fixture
def example() -> Path:
    return Path(__file__).parent / "example" / "HostExample.py"


@pytest.fixture
def oblique(host: Any) -> Any:  # noqa: ARG001
    """A box of 100 in a volume whose axes are turned, with three spacings; in the scene."""
    import slicer
    import vtk

    voxels = np.zeros((24, 40, 50), np.int16)
    voxels[8:16, 10:30, 15:35] = 100
    volume = slicer.util.addVolumeFromArray(voxels)
    turn = vtk.vtkTransform()
    turn.Translate(12, -7, 30)
    turn.RotateX(20)
    turn.RotateZ(35)
    turn.Scale(1.5, 2.0, 3.0)
    volume.SetIJKToRASMatrix(turn.GetMatrix())
    volume.CreateDefaultDisplayNodes()
    return volume
