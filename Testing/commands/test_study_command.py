"""``kdseg study run`` as it is typed."""

from __future__ import annotations

import pytest

pytest.importorskip("monai", reason="needs the libraries of training")

from Testing.studies.made_study import write_dataset, write_study


def test_only_what_is_trained_is_measured_and_where_nothing_is_this_is_said(
    kdseg, tmp_path
) -> None:
    write_dataset(tmp_path / "Task99_Made")
    write_study(tmp_path / "study.yaml")
    study, folder = tmp_path / "study.yaml", tmp_path / "run"

    said = kdseg("study", "run", study, "-o", folder, "--data", tmp_path, "--trained-only")

    assert said.status == 2
    assert f"No ensemble, student or baseline of {study} is trained in {folder}." in said.err
    assert not folder.exists()
