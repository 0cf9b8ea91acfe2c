"""A real MRML scene without the application, empty before each test."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest


class _NeedsSlicer(pytest.Module):
    def collect(self) -> Iterable[pytest.Item]:
        pytest.skip("needs the package slicer-core", allow_module_level=True)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    """Skip this folder where there is no Slicer (Linux on ARM): its tests import it."""
    if find_spec("slicer") is None:
        return _NeedsSlicer.from_parent(parent, path=module_path)
    return None


@pytest.fixture(scope="session", autouse=True)
def _runtime() -> None:
    from KDSegmentationLogic.scene import headless

    headless.start()


@pytest.fixture(autouse=True)
def _empty_scene(_runtime: None) -> None:
    import slicer

    slicer.mrmlScene.Clear()
