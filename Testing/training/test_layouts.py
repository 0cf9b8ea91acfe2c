"""The folders of public data sets become lists of cases, each with its patient."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import Channel, Grid, Normalisation
from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.cases import load_cases
from KDSegmentationLogic.training.dataset import Dataset, find_dataset, read_dataset
from KDSegmentationLogic.training.layouts.catalogue import layout_of, with_all_lists
from Testing.training import made_layouts as made


def load(dataset: Dataset, split: str = "train") -> list[tuple[str, set[int]]]:
    """Names of the cases and the classes that they hold, through the ordinary way."""
    channels = [Channel(n, "MR", Normalisation("none")) for n in dataset.channels]
    grid = Grid(dataset.dimensions)  # type: ignore[arg-type]
    cases = load_cases(dataset.split(split), channels, grid, [*dataset.labels], Monitor())
    return [(case.name, set(np.unique(case.labels).tolist())) for case in cases]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (made.segthor, "SegTHOR"),
        (made.acdc, "ACDC"),
        (made.brats2018, "BraTS 2018"),
        (made.nnunet, "nnU-Net v2 raw"),
        (made.pictures, "nnU-Net v2 raw"),
    ],
)
def test_a_layout_is_recognised_by_its_files(
    tmp_path: Path, make: Callable[[Path], Path], name: str
) -> None:
    assert layout_of(make(tmp_path / "set")).name == name


def test_a_folder_in_no_layout_is_refused_with_what_each_needs(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "notes.txt").write_text("nothing here")

    with pytest.raises(
        DatasetError, match=r"is in no layout that is known. Known are: a dataset\.json .*SegTHOR"
    ):
        find_dataset("set", tmp_path)


def test_segthor_has_40_labelled_in_lists_and_the_rest_unlabelled(tmp_path: Path) -> None:
    dataset = read_dataset(made.segthor(tmp_path / "SegTHOR"))

    assert dataset.labels == {1: "Oesophagus", 2: "Heart", 3: "Trachea", 4: "Aorta"}
    assert {name: len(cases) for name, cases in dataset.splits.items()} == {
        "train": 7,
        "val": 1,
        "test": 2,
        "unlabelled": 2,
    }
    assert dataset.drawn == ("val", "test")
    assert load(dataset)[0][1] == {0, 1, 2, 3, 4}


def test_segthor_is_read_without_the_folder_train_too(tmp_path: Path) -> None:
    folder = made.segthor(tmp_path / "SegTHOR", bare=0)

    assert set(read_dataset(folder / "train").cases) == set(read_dataset(folder).cases)


def test_acdc_gives_both_frames_of_a_patient_as_cases_that_stay_together(tmp_path: Path) -> None:
    dataset = read_dataset(made.acdc(tmp_path / "ACDC"))

    assert dataset.channels == ("cine MR",)
    assert dataset.groups["patient001_ED"] == dataset.groups["patient001_ES"] == "patient001"
    assert dataset.cases["patient001_ES"].images[0].name == "patient001_frame12.nii.gz"
    assert dataset.splits["test"] == (
        "patient101_ED",
        "patient101_ES",
        "patient102_ED",
        "patient102_ES",
    )
    assert len(dataset.splits["val"]) == 2
    assert len(set(dataset.groups_of("val").values())) == 1
    assert load(dataset, "test")[0] == ("patient101_ED", {0, 1, 2, 3})


def test_acdc_patients_without_labels_are_no_test_cases(tmp_path: Path) -> None:
    dataset = read_dataset(made.acdc(tmp_path / "ACDC", training=8, tested=False))

    assert len(dataset.splits["unlabelled"]) == 4
    assert all(case.labels for case in dataset.split("test"))


def test_acdc_is_found_below_the_folder_database(tmp_path: Path) -> None:
    made.acdc(tmp_path / "ACDC" / "database")

    assert len(find_dataset("ACDC", tmp_path).cases) == 14


def test_brats_has_four_contrasts_and_labels_1_2_and_4(tmp_path: Path) -> None:
    names = ("Brats18_TCIA01_1_1", "Brats18_TCIA01_1_2", "Brats18_B_1", "Brats18_C_1")
    dataset = read_dataset(made.brats2018(tmp_path / "BraTS", names))

    assert dataset.channels == ("T1", "T1ce", "T2", "FLAIR")
    assert list(dataset.labels) == [1, 2, 4]
    first = dataset.cases["Brats18_TCIA01_1_1"]
    assert [path.name.rpartition("_")[2] for path in first.images] == [
        "t1.nii.gz",
        "t1ce.nii.gz",
        "t2.nii.gz",
        "flair.nii.gz",
    ]
    assert dataset.groups[first.name] == dataset.groups["Brats18_TCIA01_1_2"]
    assert load(dataset)[0][1] == {0, 1, 2, 3}


def test_nnunet_cases_have_a_file_a_channel_in_their_order(tmp_path: Path) -> None:
    dataset = read_dataset(made.nnunet(tmp_path / "Dataset001_Made"), complete=False)

    assert dataset.channels == ("CT", "PET")
    assert dataset.labels == {1: "organ", 2: "lesion"}
    assert [path.name for path in dataset.cases["a"].images] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert dataset.splits == {
        "train": ("a", "b", "c", "d"),
        "val": (),
        "test": ("e",),
        "unlabelled": ("f",),
    }
    assert load(dataset)[0] == ("a", {0, 1, 2})


def test_pictures_are_a_data_set_of_two_dimensions(tmp_path: Path) -> None:
    dataset = read_dataset(made.pictures(tmp_path / "Dataset002_Made"))

    assert dataset.dimensions == 2
    assert load(dataset)[0][1] == {0, 1}


def test_decathlon_channels_stacked_in_one_file_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "Task05_Prostate"
    both = sitk.JoinSeries([sitk.GetImageFromArray(made.volume(seed=n)) for n in (0, 1)])
    names = ["prostate_00", "prostate_01", "prostate_02", "prostate_03"]
    for name in names:
        made.write_image(folder / "labelsTr" / f"{name}.nii.gz", made.labels((1, 2)))
        (folder / "imagesTr").mkdir(exist_ok=True)
        sitk.WriteImage(both, str(folder / "imagesTr" / f"{name}.nii.gz"))
    made.write_json(
        folder / "dataset.json",
        {
            "modality": {"0": "T2", "1": "ADC"},
            "labels": {"0": "background", "1": "PZ", "2": "TZ"},
            "training": [{"image": f"./imagesTr/{name}.nii.gz"} for name in names],
        },
    )

    dataset = read_dataset(folder)

    assert (dataset.channels, dataset.dimensions) == (("T2", "ADC"), 3)
    channels = [Channel(name, "MR", Normalisation("none")) for name in dataset.channels]
    case = load_cases(dataset.split("val"), channels, Grid(3), [1, 2], Monitor())[0]
    assert np.array_equal(case.image, np.stack([made.volume(seed=n) for n in (0, 1)]))


def test_names_beyond_ascii_are_read(tmp_path: Path) -> None:
    names = ("größe1", "größe2", "größe3", "größe4", "größe5")
    dataset = read_dataset(made.pictures(tmp_path / "Dataset003_Über", names))

    assert sorted(dataset.cases) == sorted(names)
    assert len(load(dataset)) == 3


def test_splits_json_lists_the_cases_of_any_layout(tmp_path: Path) -> None:
    folder = made.segthor(tmp_path / "SegTHOR")
    lists = {
        "train": ["Patient_01", "Patient_02"],
        "val": ["Patient_03"],
        "test": ["Patient_04"],
        "unlabelled": ["Patient_41"],
    }
    made.write_json(folder / "splits.json", lists)

    dataset = read_dataset(folder)

    assert {name: list(cases) for name, cases in dataset.splits.items()} == lists
    assert dataset.drawn == ()


def test_splits_json_can_name_the_patients(tmp_path: Path) -> None:
    folder = made.nnunet(tmp_path / "Dataset001_Made")
    lists = {"train": ["a", "b"], "val": ["c"], "groups": {"a": "anna", "b": "anna"}}
    made.write_json(folder / "splits.json", lists)

    assert read_dataset(folder).groups == {"a": "anna", "b": "anna", "c": "c"}


def test_a_patient_of_the_test_cases_is_not_among_the_unlabelled_either(tmp_path: Path) -> None:
    folder = made.segthor(tmp_path / "SegTHOR")
    lists = {"train": ["Patient_01"], "val": ["Patient_03"], "test": ["Patient_04"]}
    groups = {"Patient_04": "anna", "Patient_41": "anna"}
    made.write_json(
        folder / "splits.json", {**lists, "unlabelled": ["Patient_41"], "groups": groups}
    )

    with pytest.raises(DatasetError, match="has the patient anna in test and in unlabelled"):
        read_dataset(folder)


def test_drawn_test_patients_leave_the_unlabelled(tmp_path: Path) -> None:
    dataset = read_dataset(made.segthor(tmp_path / "SegTHOR", bare=10), complete=False)
    # Patient_41 is a second image of Patient_01, and so on
    twins = {name: f"patient{int(name[-2:]) % 40}" for name in dataset.cases}

    drawn = with_all_lists(replace(dataset, groups=twins))

    held = {twins[name] for name in (*drawn.splits["val"], *drawn.splits["test"])}
    apart = {twins[name] for name in drawn.splits["unlabelled"]}
    assert held
    assert not held & apart
    assert len(drawn.splits["unlabelled"]) < len(dataset.splits["unlabelled"])


def test_lists_that_come_with_a_data_set_may_part_a_patient(tmp_path: Path) -> None:
    folder = tmp_path / "Task04_Hippocampus"
    for name, end in (("hippocampus_001", "Tr"), ("hippocampus_002", "Ts")):
        made.write_image(folder / f"images{end}" / f"{name}.nii.gz", made.volume())
    lists = {"training": ["imagesTr/hippocampus_001.nii.gz"], "test": ["hippocampus_002.nii.gz"]}
    made.write_json(
        folder / "dataset.json", {"modality": {"0": "MRI"}, "labels": {"1": "a"}, **lists}
    )

    dataset = read_dataset(folder, complete=False)

    assert set(dataset.groups.values()) == {"person001"}


def test_hidden_files_of_macos_are_no_cases(tmp_path: Path) -> None:
    folders = [made.segthor(tmp_path / "SegTHOR"), made.nnunet(tmp_path / "Dataset001_Made")]
    before = [set(read_dataset(folder).cases) for folder in folders]
    (folders[0] / "train" / "._Patient_01").write_bytes(b"Mac")
    (folders[0] / "train" / ".DS_Store").write_bytes(b"Mac")
    (folders[1] / "imagesTr" / "._a_0000.nii.gz").write_bytes(b"Mac")

    assert [set(read_dataset(folder).cases) for folder in folders] == before


def removing(*files: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for file in files:
            path = folder / file
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def copying(source: str, target: str) -> Callable[[Path], None]:
    def copy(folder: Path) -> None:
        path = folder / source
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / target)

    return copy


def describing(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: made.write_json(folder / "dataset.json", {**made.NNUNET, **changes})


def listing(**lists: Any) -> Callable[[Path], None]:
    return lambda folder: made.write_json(folder / "splits.json", lists)


P1, F1 = "training/patient001", "training/patient001/patient001_frame01"
B1 = "HGG/Brats18_2013_2_1/Brats18_2013_2_1"
HOSTILE: dict[str, tuple[Callable[[Path], Path], Callable[[Path], None], str]] = {
    "SegTHOR without an image": (
        made.segthor,
        removing("train/Patient_02/Patient_02.nii.gz"),
        r"Patient_02 has no image Patient_02\.nii\.gz\. Complete the case",
    ),
    "SegTHOR without labels": (
        made.segthor,
        removing("train/Patient_02/GT.nii.gz"),
        r"Patient_02 has no GT\.nii\.gz\. Complete the case, or move it to .*test",
    ),
    "SegTHOR patient twice": (
        made.segthor,
        copying("test/Patient_41.nii.gz", "test/Patient_01.nii.gz"),
        "holds Patient_01 twice",
    ),
    "ACDC without Info.cfg": (
        made.acdc,
        removing(f"{P1}/Info.cfg"),
        r"Info\.cfg does not say which frame is ED\. It needs a line 'ED: 1'",
    ),
    "ACDC without a frame": (
        made.acdc,
        removing(f"{F1}.nii.gz"),
        r"patient001 lacks patient001_frame01\.nii\.gz, its ED frame",
    ),
    "ACDC without labels": (
        made.acdc,
        removing(f"{F1}_gt.nii.gz"),
        r"patient001 lacks patient001_frame01_gt\.nii\.gz, its ED frame",
    ),
    "ACDC patient twice": (made.acdc, copying(P1, "testing/patient001"), "holds patient001 twice"),
    "ACDC patient in two lists": (
        made.acdc,
        listing(train=["patient001_ED"], test=["patient001_ES"]),
        r"splits\.json has the patient patient001 in train and in test\. Keep all cases",
    ),
    "BraTS without a contrast": (
        made.brats2018,
        removing(f"{B1}_t2.nii.gz"),
        r"lacks Brats18_2013_2_1_t2\.nii\.gz\. Complete the case",
    ),
    "BraTS without labels": (made.brats2018, removing(f"{B1}_seg.nii.gz"), r"_seg\.nii\.gz"),
    "BraTS case of two grades": (
        made.brats2018,
        copying("HGG", "LGG"),
        "holds Brats18_2013_2_1 in HGG and in LGG",
    ),
    "BraTS without cases": (
        made.brats2018,
        removing("HGG/Brats18_2013_2_1"),
        "holds no case. A case needs a folder HGG",
    ),
    "nnU-Net without a channel": (
        made.nnunet,
        removing("imagesTr/b_0001.nii.gz"),
        r"The case b lacks the channel PET: .*b_0001\.nii\.gz is missing",
    ),
    "nnU-Net with a channel too many": (
        made.nnunet,
        copying("imagesTr/b_0001.nii.gz", "imagesTr/b_0002.nii.gz"),
        r"b_0002\.nii\.gz is a channel that dataset\.json does not name",
    ),
    "nnU-Net without images": (
        made.nnunet,
        removing("imagesTr"),
        r"imagesTr holds no case\. A case needs a file <case>_0000\.nii\.gz",
    ),
    "nnU-Net case in two folders": (
        made.nnunet,
        lambda folder: (
            [
                shutil.copy(folder / "imagesTr" / f"a_{c:04}.nii.gz", folder / "imagesTs")
                for c in range(2)
            ]
            and None
        ),
        "has a in imagesTr and in imagesTs",
    ),
    "nnU-Net of regions": (
        made.nnunet,
        describing(labels={"background": 0, "whole": [1, 2], "core": 2}),
        "makes 'whole' a region of several labels",
    ),
    "nnU-Net with voxels to ignore": (
        made.nnunet,
        describing(labels={"background": 0, "organ": 1, "ignore": 2}),
        "has voxels to ignore",
    ),
    "nnU-Net with one value twice": (
        made.nnunet,
        describing(labels={"background": 0, "organ": 1, "lesion": 1}),
        "gives the label 'lesion' the value 1",
    ),
    "nnU-Net labels as a list": (made.nnunet, describing(labels=["organ"]), "has no 'labels'"),
    "nnU-Net of background alone": (
        made.nnunet,
        describing(labels={"background": 0}),
        "names no label but background",
    ),
    "nnU-Net channels from 1": (
        made.nnunet,
        describing(channel_names={"1": "CT"}),
        "has no usable 'channel_names'. Number the channels from 0",
    ),
    "nnU-Net of an unknown ending": (
        made.nnunet,
        describing(file_ending=".exe"),
        r"names no file_ending that is read: '\.exe'",
    ),
    "a listed case that is not there": (
        made.nnunet,
        listing(train=["a", "z"]),
        r"The case z of .*splits\.json has no image\. Complete the data set",
    ),
    "a case in two lists": (
        made.nnunet,
        listing(train=["a", "b"], unlabelled=["b"]),
        "lists b more than once",
    ),
    "patients as a list": (
        made.nnunet,
        listing(train=["a"], groups=["a"]),
        r"holds no object of case and patient under 'groups'",
    ),
    "too few patients for the lists": (
        made.brats2018,
        lambda _: None,
        r"The lists val, test, train cannot be made of 1 patient\(s\)\. Add cases, or give",
    ),
}


@pytest.mark.parametrize(("make", "damage", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_folder_is_refused_in_a_sentence(
    tmp_path: Path,
    make: Callable[[Path], Path],
    damage: Callable[[Path], None],
    sentence: str,
) -> None:
    folder = make(tmp_path / "set")
    damage(folder)

    with pytest.raises(DatasetError, match=sentence):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("name", "sizes", "patients", "dimensions"),
    [
        ("Task04_Hippocampus", (183, 27, 24), 153, 3),
        ("Dataset101_NerveUS", (179, 24, 20), 223, 2),
        ("Dataset102_SunnybrookLV", (419, 94, 144), 37, 2),
        ("Dataset103_BreastUS", (101, 15, 16), 132, 2),
    ],
)
def test_a_real_data_set_is_read_whole(
    data_folder: Path, name: str, sizes: tuple[int, ...], patients: int, dimensions: int
) -> None:
    dataset = find_dataset(name, data_folder)

    assert tuple(len(dataset.splits[split]) for split in ("train", "val", "test")) == sizes
    assert len(set(dataset.groups.values())) == patients
    assert dataset.dimensions == dimensions
    few = replace(dataset, splits={"val": dataset.splits["val"][:2]})
    assert len(load(few, "val")) == 2
