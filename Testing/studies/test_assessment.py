"""Models are measured once, through the product's own path, and what they cost is counted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import nn

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.decoding import decode
from KDSegmentationLogic.bundles.description import Member, View
from KDSegmentationLogic.errors import DatasetError, TrainingError
from KDSegmentationLogic.evaluation.calibration import Reliability, near_structures
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.inference.predict import Runner, plan_passes, predict
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.assessment import (
    ArmResult,
    assess,
    compare_structures,
    measure_case,
    with_members,
)
from KDSegmentationLogic.studies.cost import MacCounter
from KDSegmentationLogic.studies.definition import Study
from KDSegmentationLogic.studies.protocol import Protocol
from KDSegmentationLogic.studies.results import Assessed, CaseResult, ResultStore
from KDSegmentationLogic.training.cases import read_images
from KDSegmentationLogic.training.dataset import Dataset, read_decathlon
from Testing.making import phantom, tiny_student
from Testing.studies.made_study import CONTENT

HOW = Protocol(timed_cases=1, foreground_margin=2.0)


@dataclass(frozen=True)
class Measured:
    """A student measured, and then again with a second model beside it."""

    folder: RunFolder
    dataset: Dataset
    student: Bundle
    first: list[ArmResult]
    second: list[ArmResult]
    written: dict[str, int]

    def files(self) -> dict[str, int]:
        results = self.folder.root / "results"
        return {str(path): path.stat().st_mtime_ns for path in results.rglob("*.*")}


def write_dataset(folder: Path) -> Dataset:
    """The phantom and a shifted label map of it, as test cases."""
    for name in ("images", "labels"):
        (folder / f"{name}Tr").mkdir(parents=True)
    for case in ("train", "right", "wrong"):
        labels = phantom()[1]
        if case == "wrong":
            moved = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(labels), 2, axis=2))
            moved.CopyInformation(labels)
            labels = moved
        sitk.WriteImage(phantom()[0], str(folder / "imagesTr" / f"{case}.nii.gz"))
        sitk.WriteImage(labels, str(folder / "labelsTr" / f"{case}.nii.gz"))
    description = {"modality": {"0": "MR"}, "labels": {"0": "background", "1": "a", "2": "b"}}
    (folder / "dataset.json").write_text(json.dumps(description), "utf-8")
    splits = {"train": ["train"], "val": [], "test": ["right", "wrong"]}
    (folder / "splits.json").write_text(json.dumps(splits), "utf-8")
    return read_decathlon(folder)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    root = tmp_path_factory.mktemp("assessed")
    study = decode(Study, CONTENT, "study")
    dataset = write_dataset(root / "Task99_Made")
    folder = RunFolder(root / "run", study)
    student = tiny_student(root / "student")
    (member,) = student.description.members
    other = tiny_student(root / "other", members=(replace(member, temperature=2.0),))
    first = assess(study, dataset, folder, [student], "test", Monitor(), HOW)
    found = Measured(folder, dataset, student, first, [], {})
    written = found.files()
    second = assess(study, dataset, folder, [student, other], "test", Monitor(), HOW)
    return replace(found, second=second, written=written)


def stored(measured: Measured, bundle: Bundle) -> tuple[Path, Assessed]:
    store = ResultStore(measured.folder.root)
    place = store.folder(bundle, "test", ["right", "wrong"], HOW)
    found = store.load(place)
    assert found is not None
    return place, found


def test_a_model_that_is_right_has_dice_one_and_one_that_is_wrong_has_not(
    measured: Measured,
) -> None:
    _, found = stored(measured, measured.student)
    right, wrong = found.cases
    assert (right.case, wrong.case) == ("right", "wrong")
    assert right.dice == 1.0
    assert 0 < wrong.dice < 1
    assert wrong.nll > right.nll
    assert wrong.brier > right.brier


def test_calibration_is_looked_at_near_the_reference_whatever_the_model_says(
    measured: Measured,
) -> None:
    _, found = stored(measured, measured.student)
    for case in found.cases:
        file = measured.dataset.cases[case.case].labels
        assert file is not None
        image = sitk.ReadImage(str(file))
        labels = sitk.GetArrayFromImage(image)
        near = near_structures(labels, image.GetSpacing()[::-1], HOW.foreground_margin)
        assert sum(case.reliability.voxels) == near.sum()
        assert (labels > 0).sum() < near.sum() < labels.size


def test_a_reference_without_structures_leaves_nothing_to_calibrate(measured: Measured) -> None:
    outcome = Predictor(measured.student, Settings(probabilities=True)).segment([phantom()[0]])
    found = measure_case("empty", measured.student, outcome, 0 * phantom()[1], HOW)
    assert sum(found.reliability.voxels) == 0
    assert math.isnan(found.nll)
    assert math.isnan(found.entropy)


def test_a_label_that_no_model_knows_is_refused_in_a_reference(measured: Measured) -> None:
    case = measured.dataset.cases["right"]
    outcome = Predictor(measured.student, Settings(probabilities=True)).segment(
        read_images(case, Monitor())
    )
    stray = phantom()[1]
    stray[0, 0, 0] = 9

    with pytest.raises(DatasetError, match=r"reference of right holds the value 9, .*study file"):
        measure_case("right", measured.student, outcome, stray, HOW)


def test_the_label_maps_are_kept(measured: Measured) -> None:
    place, _ = stored(measured, measured.student)
    said = ResultStore(measured.folder.root).labels(place, "right")
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(said), sitk.GetArrayFromImage(phantom()[1])
    )
    assert said.GetSpacing() == pytest.approx(phantom()[1].GetSpacing())


def test_an_arm_that_is_added_leaves_the_others_results_as_they_are(measured: Measured) -> None:
    now = measured.files()
    unchanged = [path for path in measured.written if not path.endswith("openings.json")]
    assert all(now[path] == measured.written[path] for path in unchanged)
    assert [result.arm for result in measured.second] == ["student", "other"]
    assert measured.second[0] == measured.first[0]


def test_each_opening_of_the_test_cases_is_noted_with_the_models_that_saw_them(
    measured: Measured,
) -> None:
    openings = ResultStore(measured.folder.root).openings()
    assert [opening.arms for opening in openings] == [("student",), ("other",)]
    assert len({opening.study for opening in openings}) == 1


def test_the_cost_is_that_of_the_student(measured: Measured) -> None:
    store = ResultStore(measured.folder.root)
    cost = store.load_cost(store.cost_file(measured.student, HOW))
    assert cost is not None
    assert (
        cost.file_bytes
        == measured.student.weight_path(measured.student.description.members[0]).stat().st_size
    )
    assert 0 < cost.network_seconds < cost.seconds
    assert cost.peak_memory_gib > 0.05
    assert (cost.cases, cost.timed_on) == (1, "right")


def test_members_of_two_ensembles_are_measured_once(ensemble_bundle: Bundle) -> None:
    twin = replace(ensemble_bundle, name="twin")
    names = [model.name for model in with_members([ensemble_bundle, twin])]
    assert names == [ensemble_bundle.name, "twin", "volume", "axial", "views"]


def test_a_mean_distance_over_a_part_of_the_cases_says_over_how_many(tmp_path: Path) -> None:
    """Of two cases the model misses the structure in one."""
    box = np.zeros((4, 6, 6), np.uint8)
    box[1:3, 2:4, 2:4] = 1
    reference = sitk.GetImageFromArray(box)
    cases = []
    for name, said in (("found", reference), ("missed", 0 * reference)):
        (structure,) = compare_structures(said, reference, {1: "ball"}, name, HOW)
        nothing = Reliability((0,), (0.0,), (0,))
        cases.append(CaseResult(name, (structure,), 0.0, 0.0, nothing, 0.0, 0.0))
    study = decode(Study, CONTENT, "study")
    student = tiny_student(tmp_path / "student")
    dataset = write_dataset(tmp_path / "Task99_Made")
    folder = RunFolder(tmp_path / "run", study)
    store = ResultStore(folder.root)
    place = store.folder(student, "test", ["right", "wrong"], HOW)
    store.save(place, Assessed(student.name, "test", "torch on cpu", tuple(cases)))

    (result,) = assess(study, dataset, folder, [student], "test", Monitor(), HOW)

    assert (result.cases, result.hd95_cases) == (2, {"ball": 1})
    assert "| 0.00 (n = 1) |" in folder.report("test.md").read_text("utf-8")


def test_undefined_figures_survive_the_file(tmp_path: Path) -> None:
    nothing = Reliability((0, 0), (0.0, 0.0), (0, 0))
    nan = math.nan
    case = CaseResult("a", (), nan, nan, nothing, nan, nan)
    store = ResultStore(tmp_path)
    store.save(tmp_path / "results" / "x", Assessed("arm", "val", "torch on cpu", (case,)))
    back = store.load(tmp_path / "results" / "x")
    assert back is not None
    assert math.isnan(back.cases[0].nll)
    assert math.isnan(back.cases[0].dice)
    assert back.cases[0].reliability == nothing


@pytest.mark.parametrize("damage", ["", "{", '{"arm": "a"}'])
def test_damaged_results_are_named(tmp_path: Path, damage: str) -> None:
    (tmp_path / "result.json").write_text(damage, "utf-8")
    with pytest.raises(TrainingError, match=r"result\.json cannot be read .* Delete it"):
        ResultStore(tmp_path).load(tmp_path)


class _OneLayer(SegmentationNetwork):
    def __init__(self, dimensions: int) -> None:
        super().__init__(2, 3, (1,) * dimensions, (1,) * dimensions)
        layer = nn.Conv3d if dimensions == 3 else nn.Conv2d
        self.classifier = layer(2, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(x)


def count(counter: MacCounter, member: Member, shape: tuple[int, int, int]) -> None:
    passes = plan_passes([Runner(member, counter)], shape, 1e12)
    list(predict(np.zeros((2, *shape), np.float32), passes, Monitor()))


@pytest.mark.parametrize("whole", [True, False])
def test_macs_are_counted_by_hand_for_one_layer(whole: bool) -> None:
    counter = MacCounter(_OneLayer(3))
    member = Member("x", {}, "models/x.safetensors", "0" * 64, (4, 4, 4), whole, overlap=0.0)
    shape = (8, 8, 8)
    count(counter, member, shape)
    assert counter.macs == 8**3 * 27 * 2 * 3


def test_macs_of_a_2d_network_are_those_of_all_its_views() -> None:
    counter = MacCounter(_OneLayer(2))
    views: tuple[View, ...] = ("axial", "coronal", "sagittal")
    member = Member("x", {}, "models/x.safetensors", "0" * 64, (8, 8), views=views)
    shape = (4, 6, 8)
    count(counter, member, shape)
    assert counter.macs == 3 * (4 * 6 * 8) * 9 * 2 * 3
