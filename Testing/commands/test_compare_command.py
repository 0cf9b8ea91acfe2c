"""``kdseg compare``: everything it writes, from one run; and what it refuses."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.commands.main import main
from KDSegmentationLogic.imaging.reading import read_labels
from Testing.making import phantom, tiny_student

WRITTEN = {
    *("tiny-student.seg.nrrd", "tiny-student_uncertainty.nii.gz"),
    *("tiny-ensemble.seg.nrrd", "tiny-ensemble_uncertainty.nii.gz"),
    *("disagreement.nii.gz", "table.csv", "models.csv", "table.md"),
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory, student_bundle, ensemble_bundle):
    """The output folder of one comparison, and its JSON."""
    folder = tmp_path_factory.mktemp("compare")
    image, labels = phantom()
    sitk.WriteImage(image, str(folder / "case.nii.gz"))
    wrong = sitk.GetArrayFromImage(labels)
    wrong[wrong == 2] = 1
    reference = sitk.GetImageFromArray(wrong)
    sitk.WriteImage(reference, str(folder / "reference.nii.gz"))
    arguments = [
        *("compare", folder / "case.nii.gz", "-o", folder / "out", "--json", "--quiet"),
        *("-m", student_bundle.folder, "-m", ensemble_bundle.folder),
        *("--reference", folder / "reference.nii.gz", "--threads", 1),
    ]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main([str(argument) for argument in arguments]) == 0
    return folder / "out", json.loads(said.getvalue())


def test_label_maps_tables_and_maps_are_written(compared, names_in) -> None:
    folder, told = compared
    assert set(names_in(folder)) - {"scene.mrb", "comparison.png"} == WRITTEN
    assert {str(folder / name) for name in names_in(folder)} == set(told["files"])


def test_both_label_maps_are_those_of_the_models(compared) -> None:
    truth = sitk.GetArrayFromImage(phantom()[1])
    for name in ("tiny-student", "tiny-ensemble"):
        labels = read_labels(compared[0] / f"{name}.seg.nrrd")
        assert np.array_equal(sitk.GetArrayFromImage(labels), truth)


def test_the_table_compares_both_with_each_other_and_with_the_reference(compared) -> None:
    found = {
        (row["compared"], row["with"], row["structure"]): float(row["dice"])
        for row in csv.DictReader((compared[0] / "table.csv").read_text("utf-8").splitlines())
    }
    assert found["tiny-student", "tiny-ensemble", "posterior"] == 1
    for model in ("tiny-student", "tiny-ensemble"):
        assert found[model, "reference", "posterior"] == 0
        assert 0.5 < found[model, "reference", "anterior"] < 0.8


def test_time_and_memory_are_told_of_both(compared) -> None:
    student, ensemble = compared[1]["models"]
    assert (student["model"], student["networks"]) == ("tiny-student", 1)
    assert (ensemble["model"], ensemble["networks"]) == ("tiny-ensemble", 3)
    for row in (student, ensemble):
        assert row["seconds"] > 0
        assert 0.1 < row["peak memory (GiB)"] < 4


def test_two_that_agree_have_an_empty_map_of_disagreement(compared) -> None:
    differ = sitk.ReadImage(str(compared[0] / "disagreement.nii.gz"))
    assert differ.GetSize() == phantom()[0].GetSize()
    assert not sitk.GetArrayFromImage(differ).any()


def test_the_scene_holds_volume_segmentations_uncertainty_and_tables(compared) -> None:
    slicer = pytest.importorskip("slicer", reason="needs the package slicer-core")
    from KDSegmentationLogic.scene import files, headless

    headless.start()
    files.load_scene(compared[0] / "scene.mrb")
    found = {
        node.GetName()
        for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode")
        for node in slicer.util.getNodesByClass(kind)
    }
    volumes = {"case", "Uncertainty of tiny-ensemble"}
    assert volumes | {"tiny-student", "tiny-ensemble", "Agreement", "Models"} <= found
    assert "tiny-student against tiny-ensemble" in found
    ((shown, over),) = {
        (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID())
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    }
    assert slicer.mrmlScene.GetNodeByID(shown).GetName() == "case"
    assert not over
    seen = [
        node.GetName()
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        if node.GetDisplayNode().GetVisibility()
    ]
    assert seen == ["tiny-student"]
    slicer.mrmlScene.Clear()


def test_the_picture_is_there_where_pictures_can_be_drawn(compared) -> None:
    pytest.importorskip("slicer", reason="needs the package slicer-core")
    pytest.importorskip("matplotlib")
    from KDSegmentationLogic.scene.rendering import can_render

    possible, reason = can_render()
    if not possible:
        pytest.skip(reason)
    assert (compared[0] / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_an_earlier_comparison_is_kept_unless_asked(kdseg, compared, image, student_bundle) -> None:
    folder = compared[0]
    before = (folder / "table.md").read_bytes()
    models = ("-m", student_bundle.folder, "-m", student_bundle.folder.parent / "tiny-ensemble")
    said = kdseg("compare", image, *models, "-o", folder)
    assert said.status == 2
    assert "--overwrite" in said.err
    assert (folder / "table.md").read_bytes() == before


def test_one_model_is_not_enough(kdseg, image, student_bundle, tmp_path) -> None:
    said = kdseg("compare", image, "-m", student_bundle.folder, "-o", tmp_path / "out")
    assert said.status == 2
    assert "Give two" in said.err


def test_two_models_of_one_name_are_refused(kdseg, image, student_bundle, tmp_path) -> None:
    twin = shutil.copytree(student_bundle.folder, tmp_path / "twin" / student_bundle.name)
    models = ("-m", student_bundle.folder, "-m", twin)
    said = kdseg("compare", image, *models, "-o", tmp_path / "out")
    assert said.status == 2
    assert "Both models are called" in said.err


def test_models_of_other_channels_are_refused(kdseg, image, student_bundle, tmp_path) -> None:
    from KDSegmentationLogic.bundles.description import Channel, Normalisation

    other = tiny_student(tmp_path / "mr", channels=(Channel("T1", "MR", Normalisation("zscore")),))
    models = ("-m", student_bundle.folder, "-m", other.folder)
    said = kdseg("compare", image, *models, "-o", tmp_path / "out")
    assert said.status == 2
    assert "T1" in said.err


def test_a_folder_of_cases_is_refused(
    kdseg, cohort, student_bundle, ensemble_bundle, tmp_path
) -> None:
    models = ("-m", student_bundle.folder, "-m", ensemble_bundle.folder)
    said = kdseg("compare", cohort, *models, "-o", tmp_path / "out")
    assert said.status == 2
    assert "several cases" in said.err
    assert not (tmp_path / "out").exists()


def test_a_failing_model_leaves_nothing(
    kdseg, image, student_bundle, ensemble_bundle, tmp_path
) -> None:
    models = ("-m", student_bundle.folder, "-m", ensemble_bundle.folder)
    point = ("--point", 500, 0, 0)
    said = kdseg("compare", image, *models, "-o", tmp_path / "out", *point)
    assert said.status == 1
    assert "outside the image" in said.err
    assert not (tmp_path / "out").exists()


def test_a_reference_on_another_grid_is_refused_before_the_models_run(
    kdseg, image, student_bundle, ensemble_bundle, tmp_path
) -> None:
    reference = tmp_path / "reference.nii.gz"
    sitk.WriteImage(phantom((24, 20, 15))[1], str(reference))
    models = ("-m", student_bundle.folder, "-m", ensemble_bundle.folder)
    said = kdseg("compare", image, *models, "-o", tmp_path / "out", "--reference", reference)
    assert said.status == 1
    assert f"{reference} lies on another grid" in said.err
    assert "Running on" not in said.err
