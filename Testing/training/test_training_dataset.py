"""A Decathlon folder becomes a list of cases, or one sentence that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import Channel, Grid, Normalisation
from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.cases import TrainingCase, load_cases
from KDSegmentationLogic.training.dataset import CaseFiles, find_dataset, read_decathlon

CHANNELS = [Channel("T1", "MR", Normalisation("none"))]
DESCRIPTION = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "a", "4": "b"}}
SPLITS = {"train": ["one", "two"], "val": ["three"], "test": ["four"]}


def write_image(path: Path, array: np.ndarray, spacing: float = 1.0) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing,) * 3)
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(image, str(path))


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cases in imagesTr and one in imagesTs, of 4 x 3 x 2 voxels, labels 0, 1 and 4."""
    place = tmp_path / "Task99_Made"
    place.mkdir()
    write_json(place / "dataset.json", DESCRIPTION)
    write_json(place / "splits.json", SPLITS)
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    labels = np.select([values == 5, values == 6], [1, 4], 0).astype(np.uint8)
    for case, end in (("one", "Tr"), ("two", "Tr"), ("three", "Tr"), ("four", "Ts")):
        write_image(place / f"images{end}" / f"{case}.nii.gz", values)
        write_image(place / f"labels{end}" / f"{case}.nii.gz", labels)
    return place


def load(cases: list[CaseFiles]) -> list[TrainingCase]:
    return load_cases(cases, CHANNELS, Grid(3, None), [1, 4], Monitor())


def test_a_folder_is_read_with_its_channels_labels_and_lists(folder: Path) -> None:
    dataset = read_decathlon(folder)

    assert dataset.name == "Task99_Made"
    assert dataset.channels == ("MRI",)
    assert dataset.labels == {1: "a", 4: "b"}
    assert [case.name for case in dataset.split("train")] == ["one", "two"]
    assert dataset.cases["three"].images == (folder / "imagesTr" / "three.nii.gz",)


def test_channels_stand_in_the_order_of_their_numbers(folder: Path) -> None:
    modality = {str(number): f"m{number}" for number in (10, 2, 0)}
    write_json(folder / "dataset.json", {**DESCRIPTION, "modality": modality})

    assert read_decathlon(folder).channels == ("m0", "m2", "m10")


def test_a_test_case_finds_its_labels_beside_the_test_images(folder: Path) -> None:
    (case,) = read_decathlon(folder).split("test")

    assert case.labels == folder / "labelsTs" / "four.nii.gz"


def test_a_case_without_a_label_file_has_none(folder: Path) -> None:
    (folder / "labelsTs" / "four.nii.gz").unlink()

    (case,) = read_decathlon(folder).split("test")

    assert case.labels is None


def test_a_data_set_is_found_by_its_name(folder: Path) -> None:
    assert find_dataset("Task99_Made", folder.parent) == read_decathlon(folder)


def test_a_data_set_that_is_not_there_is_refused_with_where_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"Task99_Made is not in .* --data or KDSEG_DATA"):
        find_dataset("Task99_Made", tmp_path)


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def holding(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text, "utf-8")

    return write


def splits(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: write_json(folder / "splits.json", {**SPLITS, **changes})


def description(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: write_json(folder / "dataset.json", {**DESCRIPTION, **changes})


CONTRADICTIONS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no description": (without("dataset.json"), r"dataset\.json is missing\. Give a folder"),
    "broken description": (holding("dataset.json", "{"), r"dataset\.json is not valid JSON"),
    "broken lists": (holding("splits.json", "[1, 2"), r"splits\.json is not valid JSON"),
    "no object": (holding("splits.json", "[]"), r"splits\.json does not hold an object"),
    "no labels named": (holding("dataset.json", '{"modality": {}}'), "usable entry: 'labels'"),
    "no channels named": (holding("dataset.json", '{"labels": {}}'), "usable entry: 'modality'"),
    "labels by name": (description(labels={"a": "1"}), r"lacks a usable entry.*numbered from 0"),
    "labels as a list": (description(labels=["a"]), r"dataset\.json lacks a usable entry"),
    "channels as a list": (description(modality=["MRI"]), r"dataset\.json lacks a usable entry"),
    "channels left empty": (description(modality=None), r"dataset\.json lacks a usable entry"),
    "in two lists": (splits(val=["two"]), "lists two more than once. A case belongs to one"),
    "twice in one list": (splits(train=["one", "one"]), "lists one more than once"),
    "nothing to train on": (splits(train=[]), "lists no case for training. List some"),
    "no such image": (splits(val=["five"]), "The case five .* has no image in imagesTr"),
    "a path as a name": (splits(val=["../secret"]), r"'\.\./secret' in .* is not a plain name"),
    "a name with a folder": (splits(val=["a/b"]), "'a/b' in .* is not a plain name"),
    "a number as a name": (
        splits(val=[3]),
        r"splits\.json holds no list of case names under 'val'",
    ),
    "a text as a list": (
        splits(val="three"),
        r"splits\.json holds no list of case names under 'val'",
    ),
    "a number as a list": (splits(val=3), r"splits\.json holds no list of case names under 'val'"),
}


@pytest.mark.parametrize(("damage", "sentence"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_folder_that_contradicts_itself_is_refused(
    folder: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    damage(folder)

    with pytest.raises(DatasetError, match=sentence):
        read_decathlon(folder)


ORIGINAL = {
    **DESCRIPTION,
    "training": [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
        for name in ("one", "._one", "two")
    ],
    "test": ["./imagesTs/._four.nii.gz", "./imagesTs/four.nii.gz"],
}


@pytest.fixture
def original(folder: Path) -> Path:
    """The folder as the Decathlon gives it: no splits.json, no labels of the test images."""
    (folder / "splits.json").unlink()
    (folder / "labelsTs" / "four.nii.gz").unlink()
    write_json(folder / "dataset.json", ORIGINAL)
    return folder


def test_an_original_download_has_its_own_lists_and_none_to_validate_on(original: Path) -> None:
    dataset = read_decathlon(original)

    assert [len(dataset.split(name)) for name in ("train", "val", "test")] == [2, 0, 1]
    assert dataset.cases["one"].labels == original / "labelsTr" / "one.nii.gz"
    assert dataset.cases["four"].labels is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training": []}, r"dataset\.json lists no case for training. List some under 'training'"),
        ({"training": 3}, "holds no list of images under 'training'"),
        ({"test": [{"label": "a"}]}, "holds no list of images under 'test'"),
        ({"test": [None]}, "holds no list of images under 'test'"),
        ({"test": ["imagesTs/five.nii.gz"]}, r"five of .*dataset\.json has no image"),
        ({"test": ["imagesTr/one.nii.gz"]}, r"dataset\.json lists one more than once"),
    ],
)
def test_an_original_download_that_contradicts_itself_is_refused(
    original: Path, changes: dict[str, Any], sentence: str
) -> None:
    write_json(original / "dataset.json", {**ORIGINAL, **changes})

    with pytest.raises(DatasetError, match=sentence):
        read_decathlon(original)


def test_many_doubled_cases_are_counted_and_not_all_listed(folder: Path) -> None:
    names = [f"c{number}" for number in range(9)]
    write_json(folder / "splits.json", {"train": names, "val": names})

    with pytest.raises(DatasetError, match="c0, c1, c2 and 6 more"):
        read_decathlon(folder)


def test_cases_are_loaded_with_classes_counted_from_one(folder: Path) -> None:
    case = load(read_decathlon(folder).split("train"))[0]

    values = np.arange(24).reshape(2, 3, 4)
    assert case.image.dtype == np.float32
    assert (case.image == values[np.newaxis]).all()
    assert case.labels.dtype == np.uint8
    assert case.labels[values == 5] == 1
    assert case.labels[values == 6] == 2
    assert (case.labels > 0).sum() == 2


def test_image_and_labels_come_onto_the_networks_grid_together(folder: Path) -> None:
    grid = Grid(3, (2.0, 1.0, 1.0), "RAS")

    cases = load_cases(read_decathlon(folder).split("val"), CHANNELS, grid, [1, 4], Monitor())

    assert cases[0].image.shape == (1, 2, 3, 2)
    assert cases[0].labels.shape == (2, 3, 2)
    assert cases[0].image[0, 0, 0, 0] > cases[0].image[0, 0, -1, -1]


def test_loading_says_which_case_it_has_read(folder: Path) -> None:
    said: list[tuple[float, str]] = []
    monitor = Monitor(lambda fraction, text: said.append((fraction, text)))

    load_cases(read_decathlon(folder).split("train"), CHANNELS, Grid(3), [1, 4], monitor)

    assert said == [(0.5, "read one"), (1.0, "read two")]


def test_labels_on_another_grid_than_their_image_are_refused(folder: Path) -> None:
    write_image(folder / "labelsTr" / "one.nii.gz", np.zeros((2, 3, 4), np.uint8), spacing=2.0)

    with pytest.raises(DatasetError, match=r"one\.nii\.gz lies on another grid .* Resample"):
        load(read_decathlon(folder).split("train"))


def test_a_label_value_that_nobody_listed_is_refused(folder: Path) -> None:
    write_image(folder / "labelsTr" / "two.nii.gz", np.full((2, 3, 4), 3, np.uint8))

    with pytest.raises(DatasetError, match=r"two\.nii\.gz holds the value 3, .* not a known label"):
        load(read_decathlon(folder).split("train"))


def test_a_training_case_without_labels_is_refused(folder: Path) -> None:
    (folder / "labelsTr" / "one.nii.gz").unlink()

    with pytest.raises(DatasetError, match="The case one has no labels"):
        load(read_decathlon(folder).split("train"))


def test_a_soft_target_of_another_shape_than_its_case_is_refused(folder: Path) -> None:
    case = load(read_decathlon(folder).split("val"))[0]

    with pytest.raises(DatasetError, match=r"three has the shape \(2, 3, 5\), .* \(2, 3, 4\)"):
        case.with_soft(np.zeros((3, 2, 3, 5), np.uint8))


def test_the_real_hippocampus_set_is_read_with_sides_of_a_person_apart(data_folder: Path) -> None:
    dataset = find_dataset("Task04_Hippocampus", data_folder)

    assert dataset.labels == {1: "Anterior", 2: "Posterior"}
    assert all(case.labels for name in dataset.splits for case in dataset.split(name))
    case = load_cases(dataset.split("val")[:1], CHANNELS, Grid(3), [1, 2], Monitor())[0]
    assert set(np.unique(case.labels)) == {0, 1, 2}
