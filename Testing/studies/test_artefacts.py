"""The folder of a run keeps what was made, and what it was made of."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from KDSegmentationLogic.bundles.decoding import decode
from KDSegmentationLogic.bundles.description import Grid, Normalisation
from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Arm, Study
from KDSegmentationLogic.training.trainer import Trained
from Testing.studies.test_definition import CONTENT


@pytest.fixture
def study() -> Study:
    return decode(Study, CONTENT, "study")


@pytest.fixture
def folder(tmp_path: Path, study: Study) -> RunFolder:
    return RunFolder(tmp_path / "run", study)


def probabilities(classes: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """float32 [k, z, y, x], many of them very near 0 and 1."""
    drawn = np.exp(4 * np.random.default_rng(seed).standard_normal((classes, *shape)))
    return (drawn / drawn.sum(axis=0)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(classes=st.integers(2, 6), seed=st.integers(0, 2**31))
def test_a_soft_target_comes_back_within_half_a_255th(
    tmp_path_factory: pytest.TempPathFactory, classes: int, seed: int
) -> None:
    folder = RunFolder(tmp_path_factory.mktemp("run"), decode(Study, CONTENT, "study"))
    exact = probabilities(classes, (3, 4, 5), seed)

    folder.save_soft("case", exact)
    back = folder.load_soft("case")

    assert back.shape == exact.shape
    assert np.abs(back / 255 - exact).max() <= 1 / 510 + 1e-6


def test_zero_and_one_come_back_exactly(folder: RunFolder) -> None:
    # a softmax in single precision may end a little above 1; that must not wrap to 0
    folder.save_soft("case", np.array([0.0, 1.0, 1.0 + 1e-6], "f4").reshape(3, 1, 1, 1))

    assert folder.load_soft("case").ravel().tolist() == [0, 255, 255]


def test_a_soft_target_takes_at_most_a_byte_a_class_and_voxel(folder: RunFolder) -> None:
    noise = np.random.default_rng(0).random((2, 20, 30, 40), np.float32)

    folder.save_soft("noise", noise)

    assert folder.load_soft("noise").nbytes == noise.size
    assert folder.soft_target("noise").stat().st_size < 1.01 * noise.size + 1000


def test_a_soft_target_is_named_after_its_case_with_all_its_dots(folder: RunFolder) -> None:
    folder.save_soft("case.1", probabilities(2, (2, 2, 2)))

    assert folder.soft_target("case.1").is_file()
    kept = folder.soft_target("case.1").parent
    assert [path.name for path in kept.iterdir()] == ["case.1.npz"]


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

    assert changed.soft_target("case") != folder.soft_target("case")
    student = study.arm("student")
    assert changed.weights(student) != folder.weights(student)


def test_a_setting_that_is_written_out_at_its_default_changes_nothing(
    folder: RunFolder, study: Study
) -> None:
    content = copy.deepcopy(CONTENT)
    content["teachers"][0]["overlap"] = 0.5

    again = RunFolder(folder.root, decode(Study, content, "study"))

    assert again.weights(again.study.teachers[0]) == folder.weights(study.teachers[0])


@pytest.mark.parametrize("damage", [b"", b"no archive"])
def test_a_damaged_soft_target_is_named(folder: RunFolder, damage: bytes) -> None:
    folder.save_soft("case", probabilities(2, (2, 2, 2)))
    folder.soft_target("case").write_bytes(damage)

    with pytest.raises(TrainingError, match=r"case\.npz cannot be read .* Delete it"):
        folder.load_soft("case")


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

    folder.save_trained(arm, Trained(network, 0.75, 10, 12.34, history))

    assert folder.is_trained(arm)
    back = folder.network(arm)
    assert not back.training
    expected = network.state_dict()
    assert all(torch.equal(expected[name], t) for name, t in back.state_dict().items())
    facts = folder.facts(arm)
    assert facts["validation_dice"] == 0.75
    assert facts["history"] == list(history)
    assert facts["seconds"] == 12.3
