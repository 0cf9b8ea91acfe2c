"""``kdseg segment``: what comes out where, and what is refused before any work."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import (
    NO_SUM,
    Channel,
    FieldOfView,
    Member,
    Normalisation,
)
from KDSegmentationLogic.commands.outputs import Target
from KDSegmentationLogic.imaging.geometry import MODALITY_KEY, same_grid
from KDSegmentationLogic.imaging.reading import read_image, read_labels
from KDSegmentationLogic.inference.pipeline import Result
from Testing.making import LABELS, phantom, tiny_student


def array_of(path) -> np.ndarray:
    return sitk.GetArrayFromImage(read_labels(path))


TRUTH = sitk.GetArrayFromImage(phantom()[1])


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha", ".seg.nrrd"])
def test_a_file_becomes_a_label_map_on_its_own_grid(
    kdseg, image, student_bundle, tmp_path, ending
) -> None:
    output = tmp_path / f"result{ending}"
    assert kdseg("segment", image, "-m", student_bundle.folder, "-o", output).status == 0
    assert same_grid(read_labels(output), read_image(image))
    assert np.array_equal(array_of(output), TRUTH)


def test_json_tells_files_seconds_and_volumes(kdseg, image, student_bundle, tmp_path) -> None:
    output = tmp_path / "result.nii.gz"
    said = kdseg("segment", image, "-m", student_bundle.folder, "-o", output, "--json")
    (case,) = json.loads(said.out)["cases"]
    assert case["labels"] == str(output)
    assert case["volumes"]["anterior"] == pytest.approx((TRUTH == 1).sum() / 1000)
    assert case["volume_unit"] == "mL"
    assert set(case["seconds"]) == {"preprocess", "predict", "restore"}


def test_a_folder_becomes_a_folder_with_the_same_names(
    kdseg, cohort, student_bundle, tmp_path, names_in
) -> None:
    output = tmp_path / "new" / "out"
    said = kdseg("segment", cohort, "-m", student_bundle.folder, "-o", output)
    assert said.status == 0
    assert names_in(output) == names_in(cohort)
    for path in cohort.iterdir():
        assert same_grid(read_labels(output / path.name), read_image(path))


def test_a_bad_case_does_not_stop_the_rest(
    kdseg, cohort, student_bundle, tmp_path, names_in
) -> None:
    (cohort / "case1.nii.gz").write_bytes(b"no image")
    said = kdseg("segment", cohort, "-m", student_bundle.folder, "-o", tmp_path / "out", "--json")
    assert said.status == 1
    assert names_in(tmp_path / "out") == ["case0.nii.gz", "case2.nii.gz"]
    (failed,) = json.loads(said.out)["failed"]
    assert failed["name"] == "case1"
    assert "case1 failed" in said.err


def test_maps_are_written_beside_the_label_map(
    kdseg, image, ensemble_bundle, tmp_path, names_in
) -> None:
    output = tmp_path / "out" / "a.seg.nrrd"
    kdseg(
        *("segment", image, "-m", ensemble_bundle.folder, "-o", output),
        *("--probabilities", "--uncertainty"),
    )
    maps = ["a_deviation.nrrd", "a_probabilities.nrrd", "a_uncertainty.nii.gz"]
    assert names_in(output.parent) == ["a.seg.nrrd", *maps]
    probabilities = sitk.GetArrayFromImage(sitk.ReadImage(str(output.parent / maps[1])))
    assert probabilities.shape == (*TRUTH.shape, 3)
    assert probabilities.sum(-1) == pytest.approx(1, abs=1e-5)
    entropy = sitk.GetArrayFromImage(sitk.ReadImage(str(output.parent / maps[2])))
    assert entropy.shape == TRUTH.shape
    assert 0 < entropy.max() <= 1


def test_a_point_keeps_only_its_structure(kdseg, tmp_path, crop_bundle) -> None:
    path, (first, _) = _two_phantoms(tmp_path)
    output = tmp_path / "one.nii.gz"
    said = kdseg("segment", path, "-m", crop_bundle.folder, "-o", output, "--point", *first)
    assert said.status == 0
    found = array_of(output)
    assert found[:, :, :24].any()
    assert not found[:, :, 36:].any()


def test_two_points_give_the_union_of_their_structures(kdseg, tmp_path, crop_bundle) -> None:
    path, points = _two_phantoms(tmp_path)
    both, parts = tmp_path / "both.nii.gz", []
    flags = [word for point in points for word in ("--point", *point)]
    assert kdseg("segment", path, "-m", crop_bundle.folder, "-o", both, *flags).status == 0
    for number, point in enumerate(points):
        part = tmp_path / f"{number}.nii.gz"
        kdseg("segment", path, "-m", crop_bundle.folder, "-o", part, "--point", *point)
        parts.append(array_of(part))
    assert parts[0].any()
    assert parts[1].any()
    assert np.array_equal(array_of(both), np.maximum(*parts))


def test_a_box_is_segmented_and_nothing_outside(kdseg, image, student_bundle, tmp_path) -> None:
    output = tmp_path / "box.nii.gz"
    box = (0, 0, 0, -11.4, -19.4, 15.4)  # RAS mm of the half with x below 12
    said = kdseg("segment", image, "-m", student_bundle.folder, "-o", output, "--roi", *box)
    assert said.status == 0
    expected = TRUTH.copy()
    expected[:, :, 12:] = 0
    assert np.array_equal(array_of(output), expected)


def test_a_crop_model_asked_for_a_whole_head_asks_for_a_point(kdseg, tmp_path, crop_bundle) -> None:
    path, _ = _two_phantoms(tmp_path)
    said = kdseg("segment", path, "-m", crop_bundle.folder, "-o", tmp_path / "no.nii.gz")
    assert said.status == 1
    assert "--point" in said.err
    assert not (tmp_path / "no.nii.gz").exists()


def test_channels_are_given_in_order_or_by_name(kdseg, tmp_path, image) -> None:
    bundle = _two_channels(tmp_path)
    other = tmp_path / "other.nrrd"
    sitk.WriteImage(sitk.Cast(phantom()[0], sitk.sitkFloat32) * 0, str(other))
    kdseg("segment", f"{image},{other}", "-m", bundle.folder, "-o", tmp_path / "a.nrrd")
    swapped = ("--channel", f"T2={other}", "--channel", f"CT={image}")
    said = kdseg("segment", *swapped, "-m", bundle.folder, "-o", tmp_path / "b.nrrd")
    assert said.status == 0
    assert np.array_equal(array_of(tmp_path / "a.nrrd"), array_of(tmp_path / "b.nrrd"))
    assert array_of(tmp_path / "a.nrrd").any()


def test_a_folder_in_nnu_nets_layout_is_grouped_into_cases(kdseg, tmp_path, names_in) -> None:
    bundle = _two_channels(tmp_path)
    folder = tmp_path / "raw"
    folder.mkdir()
    for case in ("p1", "p2"):
        for channel in (0, 1):
            sitk.WriteImage(phantom()[0], str(folder / f"{case}_{channel:04}.nii.gz"))
    said = kdseg("segment", folder, "-m", bundle.folder, "-o", tmp_path / "out")
    assert said.status == 0
    assert names_in(tmp_path / "out") == ["p1.nii.gz", "p2.nii.gz"]


def test_files_with_numbers_of_four_digits_are_cases_of_their_own(
    kdseg, tmp_path, student_bundle, names_in
) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("BRATS_0001.nii.gz", "BRATS_0002.nii.gz"):
        sitk.WriteImage(phantom((16, 16, 12))[0], str(folder / name))
    said = kdseg("segment", folder, "-m", student_bundle.folder, "-o", tmp_path / "out")
    assert said.status == 0
    assert names_in(tmp_path / "out") == names_in(folder)


def test_a_folder_can_become_one_of_another_format(
    kdseg, cohort, student_bundle, tmp_path, names_in
) -> None:
    out = tmp_path / "out"
    said = kdseg("segment", cohort, "-m", student_bundle.folder, "-o", out, "--format", ".seg.nrrd")
    assert said.status == 0
    assert names_in(out) == [f"case{number}.seg.nrrd" for number in range(3)]


def test_a_format_beside_the_name_of_a_file_is_refused(
    kdseg, image, student_bundle, tmp_path
) -> None:
    out = tmp_path / "out.nii.gz"
    said = kdseg("segment", image, "-m", student_bundle.folder, "-o", out, "--format", ".mha")
    assert said.status == 2
    assert "Leave out --format" in said.err


def test_a_map_that_a_model_does_not_give_is_not_left_from_another(tmp_path) -> None:
    labels, stale = phantom()[1], tmp_path / "a_deviation.nrrd"
    stale.write_bytes(b"of an ensemble")
    target = Target(tmp_path / "a.nrrd", deviation=stale)
    target.write(Result(labels, "cpu", "torch", {}), LABELS, "Model")
    assert target.labels.is_file()
    assert not stale.exists()


def test_an_image_of_another_modality_is_told(kdseg, student_bundle, tmp_path) -> None:
    image = phantom()[0]
    image.SetMetaData(MODALITY_KEY, "MR")
    sitk.WriteImage(image, str(tmp_path / "head.nrrd"))
    output = tmp_path / "out.nrrd"
    said = kdseg("segment", tmp_path / "head.nrrd", "-m", student_bundle.folder, "-o", output)
    assert said.status == 0
    assert "The image is MR; the model's channel CT is CT" in said.err


def test_a_picture_becomes_a_png_of_label_values(kdseg, picture_bundle, tmp_path, names_in) -> None:
    array = sitk.GetArrayFromImage(phantom((24, 20))[0]).clip(0, 255).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "frame.png"))
    said = kdseg(
        "segment", tmp_path / "frame.png", "-m", picture_bundle.folder, "-o", tmp_path / "out"
    )
    assert said.status == 0
    assert names_in(tmp_path / "out") == ["frame.png"]
    assert np.array_equal(array_of(tmp_path / "out" / "frame.png"), _flat_truth())


def test_letters_beyond_ascii_in_names_are_no_trouble(kdseg, image, student_bundle, tmp_path):
    folder = tmp_path / "Klinik Zürich – 頭"
    folder.mkdir()
    source = shutil.copy(image, folder / "Müller.nii.gz")
    output = folder / "Ergebnis ß.seg.nrrd"
    said = kdseg("segment", source, "-m", student_bundle.folder, "-o", output)
    assert said.status == 0
    assert "Ergebnis ß.seg.nrrd" in said.out
    assert output.is_file()


REFUSED = {
    "no input": ((), "No input"),
    "input and channel": (("{image}", "--channel", "CT={image}"), "both given"),
    "two channels for one": (("{image},{image}",), "2 channels for a model of 1 channel"),
    "unknown channel": (("--channel", "T9={image}"), "names no channel"),
    "channel without name": (("--channel", "{image}"), "is not NAME=FILE"),
    "point and box": (
        ("{image}", "--point", "0", "0", "0", "--roi", "0", "0", "0", "1", "1", "1"),
        "Both --point and --roi",
    ),
    "point of two numbers": (("{image}", "--point", "0", "0"), "expected 3 arguments"),
    "point of words": (("{image}", "--point", "a", "b", "c"), "invalid"),
    "point at no place": (("{image}", "--point", "nan", "0", "0"), "not a finite number"),
    "no threads": (("{image}", "--threads", "0"), "not 1 or more"),
    "negative memory": (("{image}", "--memory-limit", "-1"), "not above zero"),
    "series of a file": (("{image}", "--series", "1.2.3"), "--series"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_contradictions_are_refused_as_bad_usage(
    kdseg, image, student_bundle, tmp_path, name
) -> None:
    words, sentence = REFUSED[name]
    given = [word.format(image=image) for word in words]
    output = tmp_path / "out.nii.gz"
    said = kdseg("segment", "-m", student_bundle.folder, "-o", output, *given)
    assert said.status == 2
    assert sentence in said.err
    assert not output.exists()


def test_an_unknown_model_is_named(kdseg, image, tmp_path) -> None:
    said = kdseg("segment", image, "-m", "Nope", "-o", tmp_path / "out.nii.gz")
    assert said.status == 1
    assert "'Nope'" in said.err


def test_a_missing_input_is_named_before_any_work(kdseg, image, student_bundle, tmp_path) -> None:
    missing, output = tmp_path / "missing.nii.gz", tmp_path / "out"
    said = kdseg("segment", image, missing, "-m", student_bundle.folder, "-o", output)
    assert said.status == 1
    assert f"{missing} does not exist" in said.err
    assert not output.exists()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("out.dcm", "which refers to a DICOM series, and"),
        ("out.vtk", "has the ending .vtk"),
        ("phantom.nii.gz", "is an input too"),
        ("phantom.nii.gz/out.nii.gz", "is a file"),
    ],
)
def test_an_output_that_cannot_be_is_refused(
    kdseg, image, student_bundle, tmp_path, names_in, output, sentence
) -> None:
    before = names_in(tmp_path), image.read_bytes()
    said = kdseg("segment", image, "-m", student_bundle.folder, "-o", tmp_path / output)
    assert said.status == 2
    assert sentence in said.err
    assert (names_in(tmp_path), image.read_bytes()) == before


def test_several_inputs_do_not_go_into_one_file(kdseg, cohort, student_bundle, tmp_path) -> None:
    output = tmp_path / "out.nii.gz"
    said = kdseg("segment", cohort, "-m", student_bundle.folder, "-o", output)
    assert said.status == 2
    assert "Give a folder" in said.err
    assert not output.exists()


def test_a_file_where_the_output_folder_should_be_is_refused(
    kdseg, cohort, student_bundle, tmp_path
) -> None:
    output = tmp_path / "out"
    output.write_text("mine")
    said = kdseg("segment", cohort, "-m", student_bundle.folder, "-o", output)
    assert said.status == 2
    assert "is a file" in said.err
    assert output.read_text() == "mine"


def test_results_of_one_name_are_refused_before_any_work(
    kdseg, image, student_bundle, tmp_path
) -> None:
    twin = tmp_path / "elsewhere" / "PHANTOM.nii.gz"
    twin.parent.mkdir()
    shutil.copy(image, twin)
    output = tmp_path / "out"
    said = kdseg("segment", image, twin, "-m", student_bundle.folder, "-o", output)
    assert said.status == 2
    assert "would both be" in said.err
    assert not output.exists()


def test_results_are_replaced_only_when_asked(kdseg, image, student_bundle, tmp_path) -> None:
    output = tmp_path / "out.nii.gz"
    output.write_bytes(b"precious")
    refused = kdseg("segment", image, "-m", student_bundle.folder, "-o", output)
    assert refused.status == 2
    assert "--overwrite" in refused.err
    assert output.read_bytes() == b"precious"
    done = kdseg("segment", image, "-m", student_bundle.folder, "-o", output, "--overwrite")
    assert done.status == 0
    assert np.array_equal(array_of(output), TRUTH)


def test_an_existing_map_beside_the_output_is_kept_too(
    kdseg, image, student_bundle, tmp_path
) -> None:
    (tmp_path / "out_uncertainty.nii.gz").write_bytes(b"precious")
    output = tmp_path / "out.nii.gz"
    said = kdseg("segment", image, "-m", student_bundle.folder, "-o", output, "--uncertainty")
    assert said.status == 2
    assert not output.exists()


def test_an_incomplete_case_of_nnu_nets_layout_is_refused(kdseg, tmp_path) -> None:
    bundle = _two_channels(tmp_path)
    folder = tmp_path / "raw"
    folder.mkdir()
    sitk.WriteImage(phantom()[0], str(folder / "p1_0000.nii.gz"))
    said = kdseg("segment", folder, "-m", bundle.folder, "-o", tmp_path / "out")
    assert said.status == 2
    assert "p1" in said.err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images_is_refused(kdseg, student_bundle, tmp_path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    said = kdseg("segment", empty, "-m", student_bundle.folder, "-o", tmp_path / "out")
    assert said.status == 1
    assert "holds no DICOM images" in said.err
    assert not (tmp_path / "out").exists()


def test_a_dicom_folder_is_one_input_named_after_itself(
    kdseg, data_folder, student_bundle, tmp_path, names_in
) -> None:
    series = data_folder / "TotalSegmentatorCT" / "example_ct_dicom"
    box = ("--roi", -20, -20, -1000, 20, 20, 2000)
    output = tmp_path / "out"
    said = kdseg("segment", series, "-m", student_bundle.folder, "-o", output, *box)
    assert said.status == 0, said.err
    assert names_in(output) == ["example_ct_dicom.nii.gz"]
    assert same_grid(read_labels(output / "example_ct_dicom.nii.gz"), read_image(series))


def test_real_crops_come_out_on_exactly_their_own_grids(kdseg, data_folder, tmp_path) -> None:
    source, some = data_folder / "Task04_Hippocampus" / "imagesTs", tmp_path / "some"
    some.mkdir()
    for path in sorted(source.glob("*.nii.gz"))[:3]:
        shutil.copy(path, some)
    output = tmp_path / "out"
    bundle = tiny_student(tmp_path / "wide", field_of_view=FieldOfView("crop", (40.0, 56.0, 40.0)))
    said = kdseg("segment", some, "-m", bundle.folder, "-o", output)
    assert said.status == 0, said.err
    for path in some.iterdir():
        one, other = sitk.ReadImage(str(path)), sitk.ReadImage(str(output / path.name))
        assert one.GetSize() == other.GetSize()
        for told in ("GetOrigin", "GetSpacing", "GetDirection"):
            assert getattr(one, told)() == getattr(other, told)()


def _two_phantoms(folder):
    """A volume with the phantom at either end, and a point (RAS mm) in each."""
    image = phantom()[0]
    array = sitk.GetArrayFromImage(image)
    gap = np.zeros((*array.shape[:2], 12), array.dtype)
    joined = sitk.GetImageFromArray(np.concatenate([array, gap, array], axis=2))
    path = folder / "two.nii.gz"
    sitk.WriteImage(joined, str(path))
    return path, [(-11, -10, 8), (-47, -10, 8)]


def _two_channels(folder):
    """A bundle of the channels CT, which counts, and T2, which does not."""
    fixed = Normalisation("fixed", clip=(-500.0, 500.0), mean=100.0, std=50.0)
    arguments = {"in_channels": 2, "classes": 3, "dimensions": 3, "widths": [4, 8]}
    arguments["stem_stride"] = 1
    member = Member("student_unet", arguments, "models/model.safetensors", NO_SUM, (16, 16, 16))
    return tiny_student(
        folder / "two-channels",
        channels=(Channel("CT", "CT", fixed), Channel("T2", "MR", fixed)),
        members=(member,),
    )


def _flat_truth():
    return sitk.GetArrayFromImage(phantom((24, 20))[1])
