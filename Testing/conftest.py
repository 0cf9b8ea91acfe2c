"""Fixtures shared by all layers' tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real labelled images named by ``KDSEG_DATA``; skips where there is none."""
    folder = os.environ.get("KDSEG_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real images: set KDSEG_DATA to the folder of the data sets")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def project_root() -> Path:
    return Path(__file__).resolve().parent.parent
