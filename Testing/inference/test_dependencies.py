"""What a person reads where a package is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from KDSegmentationLogic.dependencies import SEGMENTING, missing, require
from KDSegmentationLogic.errors import DependencyError


def test_packages_that_are_there_are_no_fault() -> None:
    require("json", *SEGMENTING)


def test_all_missing_packages_are_named_with_the_line_that_installs_them() -> None:
    with pytest.raises(DependencyError) as caught:
        require("json", "no_such_package", "nor_this")
    assert "no_such_package, nor_this" in caught.value.cause
    assert "pip install no_such_package nor_this" in caught.value.remedy


def test_the_package_is_named_as_pip_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert missing("yaml") == ["yaml"]
    with pytest.raises(DependencyError, match="pip install PyYAML"):
        require("yaml")


def test_the_pipeline_can_be_imported_without_the_packages_that_slicer_lacks() -> None:
    """So that ``require`` has its say before an ImportError has."""
    code = "import sys, KDSegmentationLogic.inference.pipeline; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "SimpleITK"} <= set(done.stdout.split())
    assert not {"scipy", "psutil", "safetensors", "torch"} & set(done.stdout.split())
