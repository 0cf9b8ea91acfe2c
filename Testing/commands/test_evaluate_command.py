"""``kdseg evaluate``: pairs, tables, names."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.commands.evaluate import read_names
from KDSegmentationLogic.errors import UsageError
from Testing.making import phantom

FILES = ["cases.csv", "results.json", "summary.md"]


@pytest.fixture
def folders(tmp_path):
    """Predictions, of which b lacks the second structure, and references."""
    predictions, references = tmp_path / "predictions", tmp_path / "references"
    predictions.mkdir()
    references.mkdir()
    truth = phantom()[1]
    for name in ("a", "b"):
        sitk.WriteImage(truth, str(references / f"{name}.nii.gz"))
    sitk.WriteImage(truth, str(predictions / "a.nrrd"))
    half = sitk.GetArrayFromImage(truth)
    half[half == 2] = 0
    sitk.WriteImage(sitk.GetImageFromArray(half), str(predictions / "b.nrrd"))
    return predictions, references


def rows(path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_files_of_one_name_are_compared_whatever_their_ending(
    kdseg, folders, student_bundle, tmp_path, names_in
) -> None:
    output = tmp_path / "report"
    said = kdseg("evaluate", *folders, "-o", output, "-m", student_bundle.folder)
    assert said.status == 0, said.err
    assert names_in(output) == FILES
    found = {(row["case"], row["structure"]): row for row in rows(output / "cases.csv")}
    assert float(found["a", "posterior"]["dice"]) == 1
    assert float(found["b", "posterior"]["dice"]) == 0
    assert found["b", "posterior"]["presence"] == "missed"
    assert (output / "summary.md").read_text("utf-8").strip() in said.out


def test_two_files_are_one_case(kdseg, folders, tmp_path) -> None:
    predictions, references = folders
    pair = predictions / "a.nrrd", references / "b.nii.gz"
    said = kdseg("evaluate", *pair, "-o", tmp_path / "report", "--json")
    assert said.status == 0
    assert json.loads(said.out)["cases"] == ["b"]


def test_files_without_counterpart_are_listed(kdseg, folders, tmp_path) -> None:
    predictions, references = folders
    (predictions / "a.nrrd").rename(predictions / "c.nrrd")
    said = kdseg("evaluate", *folders, "-o", tmp_path / "report", "--json")
    assert said.status == 0
    told = json.loads(said.out)
    assert told["without_prediction"] == [str(references / "a.nii.gz")]
    assert told["without_reference"] == [str(predictions / "c.nrrd")]
    assert "a.nii.gz has no prediction" in said.err


def test_maps_beside_label_maps_are_no_predictions(kdseg, folders, tmp_path) -> None:
    predictions, _ = folders
    shutil.copy(predictions / "a.nrrd", predictions / "a_probabilities.nrrd")
    said = kdseg("evaluate", *folders, "-o", tmp_path / "report", "--json")
    assert json.loads(said.out)["without_reference"] == []


def test_a_case_on_another_grid_fails_and_the_rest_is_measured(kdseg, folders, tmp_path) -> None:
    predictions, _ = folders
    sitk.WriteImage(phantom((10, 10, 10))[1], str(predictions / "b.nrrd"))
    said = kdseg("evaluate", *folders, "-o", tmp_path / "report")
    assert said.status == 1
    assert "b failed" in said.err
    assert {row["case"] for row in rows(tmp_path / "report" / "cases.csv")} == {"a"}


def test_a_scan_given_as_prediction_is_refused(kdseg, folders, tmp_path) -> None:
    _, references = folders
    scan = tmp_path / "scan.nrrd"
    noise = np.random.default_rng(0).normal(size=(4, 4, 4)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(scan))
    said = kdseg("evaluate", scan, references / "a.nii.gz", "-o", tmp_path / "report")
    assert said.status == 1
    assert "no label map" in said.err
    assert not (tmp_path / "report").exists()


def test_an_earlier_report_is_kept_unless_asked(kdseg, folders, tmp_path, names_in) -> None:
    output = tmp_path / "report"
    output.mkdir()
    (output / "summary.md").write_text("mine")
    refused = kdseg("evaluate", *folders, "-o", output)
    assert refused.status == 2
    assert (output / "summary.md").read_text() == "mine"
    assert kdseg("evaluate", *folders, "-o", output, "--overwrite").status == 0
    assert names_in(output) == FILES


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("{p}", "{r}/a.nii.gz"), "a file and a folder"),
        (("{p}", "{t}/none"), "does not exist"),
        (("{p}", "{t}/empty"), "has the name of one"),
        (("{p}", "{r}", "-m", "x", "--labels", "y"), "not allowed with"),
        (("{p}", "{r}", "--labels", "{t}/none.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_compared_is_refused(kdseg, folders, tmp_path, words, sentence) -> None:
    (tmp_path / "empty").mkdir()
    places = {"p": folders[0], "r": folders[1], "t": tmp_path}
    given = [word.format(**places) for word in words]
    said = kdseg("evaluate", *given, "-o", tmp_path / "report")
    assert said.status == 2
    assert sentence in said.err
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    "text",
    [
        '{"0": "background", "1": "liver"}',
        '{"background": 0, "liver": 1}',
        '{"labels": {"background": 0, "liver": 1}, "file_ending": ".png"}',
    ],
)
def test_names_are_read_either_way_round(tmp_path, text) -> None:
    path = tmp_path / "names.json"
    path.write_text(text)
    assert read_names(path) == {1: "liver"}


@pytest.mark.parametrize("text", ["[1]", "{", '{"liver": "one"}', '{"1": ["x"]}', '{"labels": 3}'])
def test_names_of_another_form_are_refused(tmp_path, text) -> None:
    path = tmp_path / "names.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="does not name labels"):
        read_names(path)


def test_the_tolerance_of_the_surface_dice_is_the_users(kdseg, folders, tmp_path) -> None:
    truth = folders[1] / "a.nii.gz"
    image = sitk.ReadImage(str(truth))
    moved = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(image), 2, axis=0))
    moved.CopyInformation(image)
    sitk.WriteImage(moved, str(tmp_path / "moved.nrrd"))
    shares = []
    for tolerance in ("0.01", "1000"):
        output = tmp_path / tolerance
        said = kdseg(
            "evaluate", tmp_path / "moved.nrrd", truth, "-o", output, "--tolerance", tolerance
        )
        assert said.status == 0, said.err
        shares.append(float(rows(output / "cases.csv")[0]["surface_dice"]))
    assert shares[0] < shares[1] == 1


@pytest.mark.parametrize("wrong", ["-1", "nan", "inf", "wide"])
def test_a_tolerance_that_is_no_distance_is_bad_usage(kdseg, folders, tmp_path, wrong) -> None:
    said = kdseg("evaluate", *folders, "-o", tmp_path / "report", f"--tolerance={wrong}")
    assert said.status == 2
    assert "tolerance" in said.err
