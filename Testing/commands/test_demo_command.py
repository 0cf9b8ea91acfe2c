"""``kdseg demo`` with tiny models in place of the bundled ones, on the middle of the template."""

from __future__ import annotations

import contextlib
import io
import json
from argparse import Namespace
from pathlib import Path

import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import FieldOfView
from KDSegmentationLogic.commands import demo, drawing
from KDSegmentationLogic.commands.console import Console
from KDSegmentationLogic.commands.main import main
from KDSegmentationLogic.errors import DependencyError
from KDSegmentationLogic.imaging.geometry import same_grid
from KDSegmentationLogic.imaging.reading import read_image, read_labels
from Testing.making import phantom, tiny_student

CROP = FieldOfView("crop", (16.0, 16.0, 16.0))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory):
    """One run of the demo: its folder, the template it used, and its words on stdout and stderr.

    The data set is an original download, without splits.json and without labels of the test.
    """
    pytest.importorskip("nilearn", reason="needs the package nilearn, which has the template")
    folder = tmp_path_factory.mktemp("demo")
    template = read_image(demo.template_file())
    x, y, z = template.TransformPhysicalPointToIndex((0.0, 21.0, -17.0))
    middle = sitk.RegionOfInterest(template, (72, 24, 24), (x - 36, y - 12, z - 12))
    sitk.WriteImage(middle, str(folder / "template.nii.gz"))
    _download(folder / "data" / demo.DATASET)
    models = [tiny_student(folder / name, field_of_view=CROP) for name in ("student", "ensemble")]
    arguments = ["demo", "-o", folder / "out", "--data", folder / "data", "--threads", 1]
    arguments += [word for model in models for word in ("-m", model.folder)]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "template_file", lambda: folder / "template.nii.gz")
        # scenes and pictures take most of the time, and are tested with kdseg compare
        patch.setattr(drawing, "draw_comparison", lambda *_: [])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([str(argument) for argument in arguments])
    assert status == 0, err.getvalue()
    return folder, out.getvalue(), err.getvalue()


def test_both_models_segment_both_hippocampi_of_the_template(told, names_in) -> None:
    out = told[0] / "out" / "icbm152"
    assert {"student.seg.nrrd", "ensemble.seg.nrrd"} <= set(names_in(out))
    labels = read_labels(out / "student.seg.nrrd")
    assert same_grid(labels, read_image(told[0] / "template.nii.gz"))
    for r, a, s in demo.HIPPOCAMPI:
        assert labels[labels.TransformPhysicalPointToIndex((-r, -a, s))] > 0


def test_what_the_template_is_and_where_the_files_are_is_told(told) -> None:
    assert "the average of 152 real heads" in told[1]
    named = {Path(line.strip()) for line in told[1].splitlines()}
    assert told[0] / "out" / "table.md" in named


def test_a_test_case_without_labels_is_shown_without_accuracy(told, names_in) -> None:
    assert "student.seg.nrrd" in names_in(told[0] / "out" / "hippocampus_2")
    assert "reference" not in (told[0] / "out" / "table.csv").read_text("utf-8")


def test_a_test_case_is_added_where_the_data_are(data_folder) -> None:
    ((case, points, reference),) = demo._data_case(Namespace(data=data_folder), Console())
    splits = json.loads((data_folder / demo.DATASET / "splits.json").read_text("utf-8"))
    assert case.name == splits["test"][0]
    assert points == []
    assert reference.is_file()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (None, "is not there"),
        ({"test": []}, "lists no test case"),
        ({"training": []}, "lists no case for training"),
    ],
)
def test_without_a_usable_test_case_the_demo_goes_on_and_says_so(
    tmp_path, capsys, changes, sentence
) -> None:
    if changes is not None:
        _download(tmp_path / demo.DATASET, **changes)
    assert demo._data_case(Namespace(data=tmp_path), Console()) == []
    said = capsys.readouterr().err
    assert sentence in said
    assert "goes on without" in said


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


def _download(folder: Path, **changes: object) -> None:
    """A data set as the Decathlon gives it, of one image to train on and one to test on."""
    images = {"imagesTr/hippocampus_1.nii.gz", "imagesTs/hippocampus_2.nii.gz"}
    for name in images:
        (folder / name).parent.mkdir(parents=True)
        sitk.WriteImage(phantom((16, 16, 16))[0], str(folder / name))
    description = {
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "training": [
            {"image": "./imagesTr/hippocampus_1.nii.gz", "label": "./labelsTr/hippocampus_1.nii.gz"}
        ],
        "test": ["./imagesTs/hippocampus_2.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps({**description, **changes}), "utf-8")
