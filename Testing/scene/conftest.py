"""A real MRML scene without the application, empty before each test."""

from __future__ import annotations

import pytest

slicer = pytest.importorskip("slicer", reason="needs the package slicer-core")


@pytest.fixture(scope="session", autouse=True)
def _runtime() -> None:
    from KDSegmentationLogic.scene import headless

    headless.start()


@pytest.fixture(autouse=True)
def _empty_scene(_runtime: None) -> None:
    slicer.mrmlScene.Clear()
