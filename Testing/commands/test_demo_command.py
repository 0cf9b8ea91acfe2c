"""``kdseg demo`` with tiny models in place of the bundled ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from KDSegmentationLogic.bundles.description import FieldOfView
from KDSegmentationLogic.commands import demo
from KDSegmentationLogic.errors import DependencyError
from KDSegmentationLogic.imaging.geometry import same_grid
from KDSegmentationLogic.imaging.reading import read_image, read_labels
from Testing.making import tiny_ensemble, tiny_student

CROP = FieldOfView("crop", (16.0, 16.0, 16.0))


def test_the_template_is_segmented_by_both_and_everything_is_told(
    kdseg, tmp_path, names_in, monkeypatch
) -> None:
    pytest.importorskip("nilearn", reason="needs the package nilearn, which has the template")
    monkeypatch.delenv("KDSEG_DATA", raising=False)
    student = tiny_student(tmp_path / "student", field_of_view=CROP)
    ensemble = tiny_ensemble(tmp_path / "ensemble", field_of_view=CROP)
    models = ("-m", student.folder, "-m", ensemble.folder)
    said = kdseg("demo", *models, "-o", tmp_path / "out", "--threads", 1)
    assert said.status == 0, said.err
    assert "the average of 152 real heads" in said.out
    assert "without it" in said.err  # the data set
    told = {Path(line.strip()) for line in said.out.splitlines()}
    assert tmp_path / "out" / "table.md" in told
    assert {"student.seg.nrrd", "ensemble.seg.nrrd"} <= set(names_in(tmp_path / "out" / "icbm152"))
    labels = read_labels(tmp_path / "out" / "icbm152" / "student.seg.nrrd")
    assert same_grid(labels, read_image(demo.template_file()))
    for ras in demo.HIPPOCAMPI:
        r, a, s = ras
        assert labels[labels.TransformPhysicalPointToIndex((-r, -a, s))] > 0


def test_a_test_case_is_added_where_the_data_are(data_folder) -> None:
    from argparse import Namespace

    from KDSegmentationLogic.commands.console import Console

    ((case, points, reference),) = demo._data_case(Namespace(data=data_folder), Console())
    splits = json.loads((data_folder / demo.DATASET / "splits.json").read_text("utf-8"))
    assert case.name == splits["test"][0]
    assert points == []
    assert reference.is_file()


def test_without_the_bundled_models_their_absence_is_told(kdseg, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(demo, "STUDENT", "Not-there")
    said = kdseg("demo", "-o", tmp_path / "out")
    assert said.status == 1
    assert "'Not-there'" in said.err
    assert not (tmp_path / "out").exists()


def test_without_nilearn_the_remedy_is_told(monkeypatch) -> None:
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DependencyError, match="pip install nilearn"):
        demo.template_file()
