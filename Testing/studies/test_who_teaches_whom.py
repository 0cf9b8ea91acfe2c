"""Which cases an arm learns from, and which members speak for a case."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from KDSegmentationLogic.bundles.decoding import DecodingError, decode
from KDSegmentationLogic.errors import DatasetError, TrainingError
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import BEST_MEMBER, Arm, Distils, Study
from KDSegmentationLogic.studies.stages import (
    agreement,
    compute_targets,
    held_out,
    read_cases,
    training_cases,
)
from KDSegmentationLogic.training.cost import Cost
from KDSegmentationLogic.training.dataset import Dataset, read_decathlon
from KDSegmentationLogic.training.quantised import decode_probabilities
from KDSegmentationLogic.training.trainer import Trained
from KDSegmentationLogic.training.validation import case_probabilities
from Testing.studies.made_study import CONTENT, SPLITS, write_dataset
from Testing.training import balls

WITHOUT_LABELS = ["ball2-0", "ball2-1"]


def content(distils: dict[str, Any]) -> dict[str, Any]:
    """Three folds of one small network, and a student of them."""
    made = copy.deepcopy(CONTENT)
    student = made["students"][0]
    arguments = {"in_channels": 1, "classes": 2, "dimensions": 3, "widths": [8, 16]}
    made["channels"][0]["normalisation"] = {"method": "none"}
    made["teachers"] = [
        {**student, "name": "fold", "arguments": arguments, "folds": 3, "schedule": LABELS}
    ]
    made["students"] = [{**student, "arguments": arguments, "distils": distils}]
    return made


LABELS = {"losses": {"dice": 1.0}, "steps": 10}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    write_dataset(tmp_path / "Task99_Made")
    splits = {**SPLITS, "test": [], "unlabelled": WITHOUT_LABELS}
    (tmp_path / "Task99_Made" / "splits.json").write_text(json.dumps(splits), "utf-8")
    for case in WITHOUT_LABELS:
        (tmp_path / "Task99_Made" / "labelsTr" / f"{case}.nii.gz").unlink()
    return read_decathlon(tmp_path / "Task99_Made")


def made_folder(root: Path, study: Study, alike: bool = False) -> RunFolder:
    """The teachers as if trained: random weights, the same for all where ``alike``."""
    folder = RunFolder(root, study)
    for number, arm in enumerate(study.teacher_runs):
        torch.manual_seed(0 if alike else number)
        network = build_network(arm.architecture, arm.arguments)
        folder.save_trained(arm, Trained(network, 0.1 * (number % 2), 1, (), Cost()))
    return folder


def study_of(**distils: Any) -> Study:
    return decode(Study, content(distils), "study")


def names(cases: list[Any]) -> list[str]:
    return [case.name for case in cases]


def learn_from(folder: RunFolder, dataset: Dataset, arm: Arm) -> list[str]:
    return names(training_cases(folder.study, dataset, folder, arm, Monitor()))


def test_each_case_is_held_out_of_one_fold_and_the_fold_is_not_trained_on_it(
    tmp_path: Path, dataset: Dataset
) -> None:
    study = study_of()
    folder = RunFolder(tmp_path / "run", study)

    left_out = [held_out(dataset, arm) for arm in study.teacher_runs]

    assert sorted(case for fold in left_out for case in fold) == SPLITS["train"]
    for arm, fold in zip(study.teacher_runs, left_out, strict=True):
        assert set(learn_from(folder, dataset, arm)) == set(SPLITS["train"]) - fold


def test_an_arm_of_a_share_learns_from_so_many_cases_and_all_others_are_held_out(
    tmp_path: Path, dataset: Dataset
) -> None:
    (arm,) = study_of().student_runs
    half = replace(arm, share=0.5, schedule=study_of().teacher_runs[0].schedule, distils=None)
    folder = RunFolder(tmp_path / "run", replace(study_of(), students=(half,)))

    learnt = learn_from(folder, dataset, half)

    assert len(learnt) == len(SPLITS["train"]) // 2
    assert {*learnt, *held_out(dataset, half)} == set(SPLITS["train"])
    assert not {*learnt} & held_out(dataset, half)


def test_a_fold_of_a_share_never_sees_the_cases_of_the_fold(dataset: Dataset) -> None:
    for arm in study_of().teacher_runs:
        fewer = held_out(dataset, replace(arm, share=0.5))
        assert held_out(dataset, arm) < fewer < set(SPLITS["train"])


def test_targets_out_of_fold_come_from_the_member_that_never_saw_the_case(
    tmp_path: Path, dataset: Dataset
) -> None:
    study = study_of(out_of_fold=True)
    folder = made_folder(tmp_path / "run", study)

    compute_targets(study, dataset, folder, study.student_runs, Monitor())

    for case in read_cases(study, folder, dataset.split("train"), Monitor()):
        (strange,) = (a for a in study.teacher_runs if case.name in held_out(dataset, a))
        expected = case_probabilities(case.image, [balls.runner(folder.network(strange))])
        soft = folder.targets(Distils(out_of_fold=True)).load(case.name)
        assert np.abs(decode_probabilities(soft.mean) - expected).max() <= 1e-4
        assert not soft.deviation.any()


def test_cases_without_labels_are_used_where_the_members_agree(
    tmp_path: Path, dataset: Dataset
) -> None:
    for alike, expected in ((True, [*SPLITS["train"], *WITHOUT_LABELS]), (False, SPLITS["train"])):
        study = study_of(unlabelled=True, stability=0.99)
        folder = made_folder(tmp_path / f"run{alike}", study, alike)
        said: list[str] = []

        compute_targets(study, dataset, folder, study.student_runs, Monitor())
        (student,) = study.student_runs
        found = training_cases(study, dataset, folder, student, Monitor(notice=said.append))

        assert names(found) == expected
        assert said[-1].startswith(f"{2 * alike} of 2 cases without labels are used")


def test_a_case_without_labels_has_those_of_the_ensemble(tmp_path: Path, dataset: Dataset) -> None:
    study = study_of(unlabelled=True, stability=0.0)
    folder = made_folder(tmp_path / "run", study)
    compute_targets(study, dataset, folder, study.student_runs, Monitor())

    *_, case = training_cases(study, dataset, folder, study.student_runs[0], Monitor())

    soft = folder.targets(Distils(unlabelled=True)).load(case.name)
    assert np.array_equal(case.labels, soft.mean.argmax(0))


def test_a_data_set_without_such_cases_is_named(tmp_path: Path, dataset: Dataset) -> None:
    del dataset.splits["unlabelled"]
    study = study_of(unlabelled=True)
    folder = made_folder(tmp_path / "run", study)

    with pytest.raises(DatasetError, match="has no cases without labels"):
        compute_targets(study, dataset, folder, study.student_runs, Monitor())


def test_the_best_member_by_validation_gives_its_architecture(tmp_path: Path) -> None:
    made = content({})
    made["teachers"].append({**copy.deepcopy(CONTENT["teachers"][1]), "name": "resnet"})
    student = {k: v for k, v in made["students"][0].items() if k not in ("arguments", "patch")}
    made["students"] = [{**student, "architecture": BEST_MEMBER}]
    study = decode(Study, made, "study")
    folder = made_folder(tmp_path / "run", study)

    resolved = folder.resolved(study.arm("student"))

    assert resolved.architecture == "student_unet"  # fold 1 has 0.1, the other arms 0 or later
    assert resolved.patch == (16, 16, 16)
    assert resolved.schedule == study.arm("student").schedule


def test_the_best_member_is_not_known_before_all_are_trained(tmp_path: Path) -> None:
    made = content({})
    student = {k: v for k, v in made["students"][0].items() if k not in ("arguments", "patch")}
    made["students"] = [{**student, "architecture": BEST_MEMBER}]
    study = decode(Study, made, "study")

    with pytest.raises(TrainingError, match="but fold-f0 is not trained"):
        RunFolder(tmp_path / "run", study).resolved(study.arm("student"))


def alone_in_the_architecture_of_the_best() -> Study:
    """A student of the best member's network, and its baseline on labels alone."""
    made = content({})
    student = {k: v for k, v in made["students"][0].items() if k not in ("arguments", "patch")}
    taught = {**student, "architecture": BEST_MEMBER}
    baseline = {**taught, "name": "baseline", "schedule": LABELS}
    made["students"] = [taught, {**baseline, "distils": {"ensemble": "ensemble"}}]
    return decode(Study, made, "study")


def test_a_baseline_may_have_the_network_of_the_best_member(tmp_path: Path) -> None:
    study = alone_in_the_architecture_of_the_best()
    folder = made_folder(tmp_path / "run", study)

    baseline = study.arm("baseline")

    assert study.learns_from(baseline) is None
    assert folder.resolved(baseline).arguments == folder.resolved(study.arm("student")).arguments
    other = replace(study, teachers=(replace(study.teachers[0], seed=9),))
    assert RunFolder(folder.root, other).arm(baseline) != folder.arm(baseline)


def test_a_trained_network_in_the_architecture_of_the_best_member_is_read_back(
    tmp_path: Path,
) -> None:
    study = alone_in_the_architecture_of_the_best()
    folder = made_folder(tmp_path / "run", study)
    arm = study.arm("student")
    like = folder.resolved(arm)
    network = build_network(like.architecture, like.arguments)
    folder.save_trained(arm, Trained(network, 0.5, 1, ()))

    read = folder.network(arm)

    for name, tensor in network.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor)


def test_a_baseline_of_the_best_member_names_the_ensemble() -> None:
    made = content({})
    student = {k: v for k, v in made["students"][0].items() if k not in ("arguments", "patch")}
    made["students"] = [{**student, "architecture": BEST_MEMBER, "schedule": LABELS}]
    del made["students"][0]["distils"]

    with pytest.raises(DecodingError, match="names no ensemble to take the best member of"):
        decode(Study, made, "study")


@pytest.mark.parametrize(
    ("distils", "losses"),
    [
        ({"out_of_fold": True}, {"deviation": 1.0}),
        ({"paired": True}, {"deviation": 1.0}),
        ({"paired": True, "unlabelled": True}, {"mse_probabilities": 1.0}),
    ],
)
def test_one_teacher_a_case_has_nothing_to_disagree_with(
    distils: dict[str, Any], losses: dict[str, float]
) -> None:
    made = content(distils)
    (student,) = made["students"]
    student["schedule"] = {**LABELS, "losses": losses}
    if "deviation" in losses:
        student["arguments"] = {**student["arguments"], "deviation": True}
    if "paired" in distils:
        del student["seed"]
        student["seeds"] = [1, 2, 3]

    with pytest.raises(DecodingError, match="how far its teachers agree, but each case has one"):
        decode(Study, made, "study")


@pytest.mark.parametrize("members", [["fold-f0"], ["fold-f0", "fold-f2"]])
def test_targets_out_of_fold_need_all_folds(members: list[str]) -> None:
    made = content({"ensemble": "some", "out_of_fold": True})
    made["ensembles"] = [{"name": "some", "members": members}]

    with pytest.raises(DecodingError, match="not all folds are among its teachers"):
        decode(Study, made, "study")


def test_a_student_of_a_single_fold_each_has_no_targets_out_of_fold() -> None:
    made = content({"paired": True, "out_of_fold": True})
    del made["students"][0]["seed"]
    made["students"][0]["seeds"] = [1, 2, 3]

    with pytest.raises(DecodingError, match="not all folds are among its teachers"):
        decode(Study, made, "study")


def test_the_second_head_needs_an_architecture_that_is_known() -> None:
    made = content({})
    student = {k: v for k, v in made["students"][0].items() if k not in ("arguments", "patch")}
    losses = {"losses": {"deviation": 1.0}, "steps": 10}
    made["students"] = [{**student, "architecture": BEST_MEMBER, "schedule": losses}]

    with pytest.raises(DecodingError, match="needs a network with a second head"):
        decode(Study, made, "study")


def test_members_that_find_nothing_do_not_count_as_agreeing() -> None:
    nothing, ball = np.zeros((2, 4, 4, 4), np.uint8)
    ball[1:3] = 1

    assert agreement([nothing, nothing]) == 0
    assert agreement([ball, ball]) == 1
    assert agreement([nothing]) == 1, "one alone cannot disagree"
