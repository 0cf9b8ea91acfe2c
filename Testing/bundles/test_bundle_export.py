"""Packing a bundle to give away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.bundles.transfer import export_zip, import_bundle
from KDSegmentationLogic.errors import BundleError

WEIGHTS = "models/model.safetensors"


def test_an_export_comes_back_the_same(ensemble: Path, tmp_path: Path) -> None:
    path = export_zip(load_bundle(ensemble), tmp_path / "many.zip")
    bundle = import_bundle(path, target=tmp_path / "models")
    for file in ensemble.rglob("*.*"):
        assert (bundle.folder / file.relative_to(ensemble)).read_bytes() == file.read_bytes()


def test_two_exports_of_one_bundle_are_the_same_bytes(student: Path, tmp_path: Path) -> None:
    first = export_zip(load_bundle(student), tmp_path / "a.zip").read_bytes()
    for file in student.rglob("*.*"):
        os.utime(file, (10**9, 10**9))
    assert export_zip(load_bundle(student), tmp_path / "b.zip").read_bytes() == first


def test_a_damaged_bundle_is_not_exported(student: Path, tmp_path: Path) -> None:
    bundle = load_bundle(student)
    (student / WEIGHTS).write_bytes(b"")
    with pytest.raises(BundleError, match="is not a safetensors file"):
        export_zip(bundle, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
