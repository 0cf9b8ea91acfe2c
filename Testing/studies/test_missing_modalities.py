"""Teachers of several contrasts and students of one: what is refused, and ProtoKD from a BraTS
folder to a student that segments a single image."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import yaml

from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.bundles.decoding import DecodingError, decode
from KDSegmentationLogic.commands.main import main
from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.assessment import assess, compare_structures
from KDSegmentationLogic.studies.channels import dataset_of
from KDSegmentationLogic.studies.definition import Study, read_study
from KDSegmentationLogic.studies.protocol import Protocol, Region
from KDSegmentationLogic.studies.reporting.content import gather
from KDSegmentationLogic.studies.run import first_seeds_first, run_study
from Testing.training.made_layouts import write_image, write_json

CONTRASTS = {"T1": "t1", "T1ce": "t1ce", "T2": "t2", "FLAIR": "flair"}
BRIGHT = {"T1": (0, 0, 0), "T1ce": (0, 0, 200), "T2": (150, 150, 0), "FLAIR": (0, 150, 150)}
SHAPE = (16, 20, 18)
SHIPPED = Path(__file__).resolve().parents[2] / "Resources" / "Studies"

PROTOKD = {
    "weighted_cross_entropy": 1.0,
    "squared_dice": 1.0,
    "kl": {"weight": 0.025, "temperature": 10.0},
    "i2fv": {"weight": 0.025, "layers": ["last"]},
}


def arm(name: str, channels: list[str], losses: dict[str, Any], **more: Any) -> dict[str, Any]:
    network = {"in_channels": len(channels) or 4, "classes": 4, "widths": [4, 6]}
    return {
        "name": name,
        "architecture": "vnet3d",
        "arguments": network,
        "patch": [8, 8, 8],
        "seed": 1,
        **({"channels": channels} if channels else {}),
        "schedule": {
            "losses": losses,
            "steps": 6,
            "batch": 2,
            "validate_every": 3,
            "decay": "poly",
            "warmup": 0,
            "averaging": 0.0,
            "foreground": 0.0,
            "within": [14, 16, 16],
            "augmentation": {"spatial_share": 0.0, "noise": 0.0, "gamma": 0.0, "gain": 0.1},
        },
        **more,
    }


def content() -> dict[str, Any]:
    """As the study for BraTS that ships, with other arms: the two have one preprocessing."""
    shipped = yaml.safe_load((SHIPPED / "brats2018.yaml").read_text("utf-8"))
    labels = {"weighted_cross_entropy": 1.0, "squared_dice": 1.0}
    online = {"ensemble": "teacher", "online": True}
    return {
        **shipped,
        "dataset": "Made",
        "teachers": [arm("all", [], labels)],
        "ensembles": [{"name": "teacher", "members": ["all"]}],
        "students": [
            arm("protokd-t1ce", ["T1ce"], PROTOKD, distils=online),
            arm("kl-two", ["FLAIR", "T2"], {"dice": 1.0, "kl": 1.0}),
        ],
    }


def study_of(made: dict[str, Any]) -> Study:
    return decode(Study, made, "study")


def write_brats(folder: Path) -> None:
    """Five patients with three nested tumour parts; each contrast shows others of them."""
    grid = np.indices(SHAPE).astype(float)
    cases = [f"Brats18_CBICA_AB{letter}_1" for letter in "CDEFG"]
    for number, case in enumerate(cases):
        noise = np.random.default_rng(number)
        centre = np.array(SHAPE).reshape(3, 1, 1, 1) / 2 + noise.uniform(-2, 2, (3, 1, 1, 1))
        distance = np.sqrt(((grid - centre) ** 2).sum(0))
        labels = np.select([distance < 2.5, distance < 4, distance < 6], [1, 4, 2], 0)
        for name, end in CONTRASTS.items():
            image = 300 + noise.normal(0, 20, SHAPE)
            for value, more in zip((1, 2, 4), BRIGHT[name], strict=True):
                image[labels == value] += more
            write_image(folder / "HGG" / case / f"{case}_{end}.nii.gz", image.astype(np.int16))
        write_image(folder / "HGG" / case / f"{case}_seg.nii.gz", labels.astype(np.uint8))
    lists = {"train": cases[:3], "val": cases[3:4], "test": cases[4:]}
    write_json(folder / "splits.json", lists)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    root = tmp_path_factory.mktemp("brats")
    write_brats(root / "Made")
    (root / "study.yaml").write_text(yaml.safe_dump(content()), "utf-8")
    folder = RunFolder(root / "run", study_of(content()))
    run_study(root / "study.yaml", root, folder.root, until="bundle")
    return folder


def bundle(folder: RunFolder, name: str) -> Bundle:
    (found,) = folder.root.glob(f"bundles-*/{folder.study.bundle.name}-{name}")
    return load_bundle(found)


def test_each_bundle_asks_for_the_channels_of_its_arm(folder: RunFolder) -> None:
    asked = {
        name: [channel.name for channel in bundle(folder, name).description.channels]
        for name in ("teacher", "protokd-t1ce", "kl-two")
    }

    assert asked == {
        "teacher": ["T1", "T1ce", "T2", "FLAIR"],
        "protokd-t1ce": ["T1ce"],
        "kl-two": ["T2", "FLAIR"],
    }


def test_the_student_learns_from_voxels_and_prototypes_of_the_teacher(folder: RunFolder) -> None:
    (losses, *_) = folder.facts(folder.study.arm("protokd-t1ce"))["history"]

    assert {name for name in PROTOKD if losses[name] > 0} == set(PROTOKD)


def test_an_arm_is_measured_on_the_channels_that_it_sees(folder: RunFolder) -> None:
    study, dataset = folder.study, dataset_of(folder.study, folder.root.parent)
    model, how = bundle(folder, "kl-two"), study.evaluation

    (result,) = assess(study, dataset, folder, [model], "val", Monitor(), how)

    assert list(result.dice) == ["Whole tumour", "Tumour core", "Enhancing tumour"]
    # so that a report holds it against a baseline of the same contrasts alone
    (group,) = (group for group in gather(folder, "", "").groups if group.name == "kl-two")
    assert group.network.endswith(" of T2, FLAIR")


def test_a_region_is_compared_as_one_structure() -> None:
    said, truth = np.zeros((2, 3, 3, 3), np.uint8)
    said[0, 0], truth[0, 0] = (1, 2, 4), (4, 2, 0)
    protocol = Protocol(regions=(Region("all", (1, 2, 4)), Region("core", (1, 4))))
    images = [sitk.GetImageFromArray(array) for array in (said, truth)]

    found = compare_structures(*images, {1: "a", 2: "b", 4: "c"}, "case", protocol)

    assert {s.name: s.dice for s in found} == pytest.approx({"all": 4 / 5, "core": 2 / 3})


def test_a_region_of_a_label_that_is_not_there_is_refused() -> None:
    made = content()
    made["evaluation"] = {"regions": [{"name": "core", "labels": [1, 3]}]}

    with pytest.raises(DecodingError, match="the region core has the label 3, unknown here"):
        study_of(made)


def test_the_students_bundle_segments_one_image(folder: RunFolder, tmp_path: Path) -> None:
    case = "Brats18_CBICA_ABG_1"
    image = folder.root.parent / "Made" / "HGG" / case / f"{case}_t1ce.nii.gz"
    model = bundle(folder, "protokd-t1ce").folder

    code = main(["segment", str(image), "-m", str(model), "-o", str(tmp_path / "said.nii.gz")])

    assert code == 0
    said = sitk.ReadImage(str(tmp_path / "said.nii.gz"))
    assert said.GetSize() == SHAPE[::-1]
    assert set(np.unique(sitk.GetArrayFromImage(said)).tolist()) <= {0, 1, 2, 4}


def test_a_case_without_one_contrast_is_named_before_any_training(tmp_path: Path) -> None:
    write_brats(tmp_path / "Made")
    case = "Brats18_CBICA_ABC_1"
    (tmp_path / "Made" / "HGG" / case / f"{case}_t2.nii.gz").unlink()

    with pytest.raises(DatasetError, match=rf"{case} lacks {case}_t2\.nii\.gz"):
        dataset_of(study_of(content()), tmp_path)


def test_a_study_with_fewer_channels_than_the_data_is_refused(tmp_path: Path) -> None:
    write_brats(tmp_path / "Made")
    made = content()
    made["channels"] = made["channels"][:1]
    made["teachers"] = [arm("all", ["T1"], {"dice": 1.0})]
    made["students"] = []

    with pytest.raises(DatasetError, match="has the channels T1, the data set Made has T1, T1ce"):
        dataset_of(study_of(made), tmp_path)


def test_channels_in_another_order_than_the_datas_are_refused(tmp_path: Path) -> None:
    write_brats(tmp_path / "Made")
    made = content()
    made["channels"].reverse()

    with pytest.raises(DatasetError, match="in the order T1, T1ce, T2, FLAIR"):
        dataset_of(study_of(made), tmp_path)


def test_a_channel_that_is_another_ones_place_in_the_data_is_refused(tmp_path: Path) -> None:
    """T1Gd is not T1ce by name; but T2 stands where the data have T1ce."""
    write_brats(tmp_path / "Made")
    made = content()
    for channel, name in zip(made["channels"], ("T1", "T2", "FLAIR", "T1Gd"), strict=True):
        channel["name"] = name
    made["teachers"] = [arm("all", [], {"dice": 1.0})]
    made["students"] = []

    with pytest.raises(DatasetError, match="in the order T1, T1ce, T2, FLAIR"):
        dataset_of(study_of(made), tmp_path)


def test_an_arm_with_all_channels_written_out_sees_what_one_without_does() -> None:
    made = content()
    made["teachers"][0]["channels"] = ["FLAIR", "T1", "T2", "T1ce"]
    study = study_of(made)

    assert study.sees(study.arm("all")) == ()
    assert study.sees(study.arm("kl-two")) == (2, 3)


def refused(change: dict[str, Any], of: str = "students") -> str:
    made = copy.deepcopy(content())
    made[of][0] = {**made[of][0], **change}
    with pytest.raises(DecodingError) as error:
        study_of(made)
    return str(error.value)


def test_an_unknown_channel_is_refused_with_those_that_there_are() -> None:
    sentence = refused({"channels": ["PD"]})
    assert "sees the channel PD, but the study has only T1, T1ce, T2, FLAIR" in sentence


def test_a_channel_that_is_named_twice_is_refused() -> None:
    network = {"in_channels": 2, "classes": 4, "widths": [4, 6]}
    assert "names a channel twice" in refused({"channels": ["T1", "T1"], "arguments": network})


def test_a_network_for_another_number_of_channels_is_refused() -> None:
    sentence = refused({"channels": ["T1", "T2"]})
    assert "needs in_channels 2 for T1, T2, protokd-t1ce has 1" in sentence


def test_members_of_one_ensemble_see_the_same_channels() -> None:
    made = content()
    made["teachers"].append(arm("other", ["T1"], {"dice": 1.0}))
    made["ensembles"][0]["members"].append("other")

    with pytest.raises(DecodingError, match="all and other are in the ensemble teacher and see"):
        study_of(made)


def test_the_first_seed_of_every_arm_is_trained_before_the_second_of_any() -> None:
    study = read_study(SHIPPED / "multicontrast.yaml")

    order = [run.name for run in first_seeds_first(study, study.student_runs[::-1])]

    assert order[:3] == ["t1-unimodal-s1", "t1-kl-s1", "t1-protokd-s1"]
    assert {name[-3:] for name in order[:12]} == {"-s1"}
    assert order[12:15] == ["t1-unimodal-s2", "t1-kl-s2", "t1-protokd-s2"]
