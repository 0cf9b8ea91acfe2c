"""The folder of a run keeps what was made, and what it was made of."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from KDSegmentationLogic.bundles.decoding import decode
from KDSegmentationLogic.bundles.description import Grid, Normalisation
from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Arm, Distils, Study
from KDSegmentationLogic.training.cost import Cost
from KDSegmentationLogic.training.dataset import Dataset, read_decathlon
from KDSegmentationLogic.training.trainer import Trained
from Testing.studies.made_study import CONTENT, SPLITS, write_dataset


@pytest.fixture
def study() -> Study:
    return decode(Study, CONTENT, "study")


@pytest.fixture
def folder(tmp_path: Path, study: Study) -> RunFolder:
    return RunFolder(tmp_path / "run", study)


def other_seed(study: Study, arm: Arm) -> tuple[Study, Arm]:
    return study, replace(arm, seed=arm.seed + 1)


def other_rate(study: Study, arm: Arm) -> tuple[Study, Arm]:
    return study, replace(arm, schedule=replace(arm.schedule, learning_rate=0.1))


def other_width(study: Study, arm: Arm) -> tuple[Study, Arm]:
    return study, replace(arm, arguments={**arm.arguments, "width": 16})


def other_spacing(study: Study, arm: Arm) -> tuple[Study, Arm]:
    return replace(study, grid=Grid(3, (2.0, 2.0, 2.0))), arm


def other_intensities(study: Study, arm: Arm) -> tuple[Study, Arm]:
    channel = replace(study.channels[0], normalisation=Normalisation("none"))
    return replace(study, channels=(channel,)), arm


@pytest.mark.parametrize(
    "change", [other_seed, other_rate, other_width, other_spacing, other_intensities]
)
def test_an_arm_of_other_settings_has_another_place(
    folder: RunFolder, study: Study, change: Callable[[Study, Arm], tuple[Study, Arm]]
) -> None:
    changed_study, changed_arm = change(study, study.arm("volume"))

    changed = RunFolder(folder.root, changed_study)

    assert changed.weights(changed_arm) != folder.weights(study.arm("volume"))


def test_a_changed_teacher_gives_new_soft_targets_and_new_students(
    folder: RunFolder, study: Study
) -> None:
    _, other = other_seed(study, study.teachers[0])
    changed = RunFolder(folder.root, replace(study, teachers=(other, *study.teachers[1:])))

    assert changed.targets(Distils()).folder != folder.targets(Distils()).folder
    student = study.arm("student")
    assert changed.weights(student) != folder.weights(student)


def test_targets_out_of_fold_have_another_place(folder: RunFolder) -> None:
    assert folder.targets(Distils(out_of_fold=True)).folder != folder.targets(Distils()).folder


def test_a_temperature_that_is_fitted_over_other_voxels_has_another_bundle(
    folder: RunFolder, study: Study
) -> None:
    wider = replace(study, evaluation=replace(study.evaluation, foreground_margin=20.0))
    described: Any = {"title": "a bundle"}

    places = {
        RunFolder(folder.root, one).bundle("a", described, [study.arm("volume")])
        for one in (study, wider)
    }

    assert len(places) == 2


def test_a_setting_that_is_written_out_at_its_default_changes_nothing(
    folder: RunFolder, study: Study
) -> None:
    content = copy.deepcopy(CONTENT)
    content["teachers"][0]["overlap"] = 0.5

    again = RunFolder(folder.root, decode(Study, content, "study"))

    assert again.weights(again.study.teachers[0]) == folder.weights(study.teachers[0])


def test_damaged_weights_are_named(folder: RunFolder, study: Study) -> None:
    arm = study.arm("student")
    folder.weights(arm).parent.mkdir(parents=True)
    folder.weights(arm).write_bytes(b"no weights")

    with pytest.raises(TrainingError, match=r"weights\.safetensors cannot be read .* Delete it"):
        folder.network(arm)


def test_a_trained_network_comes_back_with_its_weights_and_facts(
    folder: RunFolder, study: Study
) -> None:
    arm = study.arm("student")
    network = build_network(arm.architecture, arm.arguments)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    history = ({"step": 5, "validation_dice": 0.5}, {"step": 10, "validation_dice": 0.75})
    assert not folder.is_trained(arm)

    folder.save_trained(arm, Trained(network, 0.75, 10, history, Cost(12.344, 20.0, 1.5)))

    assert folder.is_trained(arm)
    back = folder.network(arm)
    assert not back.training
    expected = network.state_dict()
    assert all(torch.equal(expected[name], t) for name, t in back.state_dict().items())
    facts = folder.facts(arm)
    assert facts["validation_dice"] == 0.75
    assert facts["history"] == list(history)
    assert facts["cost"] == {"seconds": 12.34, "compute_seconds": 20.0, "peak_memory_gib": 1.5}


def dataset(tmp_path: Path, **splits: list[str]) -> Dataset:
    """The made one, with other lists."""
    folder = tmp_path / "Task99_Made"
    if not folder.exists():
        write_dataset(folder)
    (folder / "splits.json").write_text(json.dumps({**SPLITS, **splits}), "utf-8")
    return read_decathlon(folder)


def test_other_lists_of_cases_than_before_are_refused(folder: RunFolder, tmp_path: Path) -> None:
    folder.keep_lists(dataset(tmp_path))
    folder.keep_lists(dataset(tmp_path))

    moved = dataset(tmp_path, train=SPLITS["train"][1:], test=[*SPLITS["test"], "ball0-0"])
    with pytest.raises(TrainingError, match="The lists of Task99_Made are not those that"):
        folder.keep_lists(moved)


def test_fewer_test_cases_than_before_are_no_others_to_train_on(
    folder: RunFolder, tmp_path: Path
) -> None:
    folder.keep_lists(dataset(tmp_path))

    folder.keep_lists(dataset(tmp_path, test=SPLITS["test"][:1]))


def test_damaged_facts_of_a_training_are_named(folder: RunFolder, study: Study) -> None:
    arm = study.arm("volume")
    path = folder.arm(arm) / "training.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"validation_dice": 0.', "utf-8")

    with pytest.raises(TrainingError, match=r"training\.json cannot be read"):
        folder.facts(arm)
