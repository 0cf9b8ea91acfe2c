"""Teacher and student in one run: the teacher is not disturbed, a kill does not part them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.checkpoint import load_state
from KDSegmentationLogic.training.cotraining import Learner, train_together
from KDSegmentationLogic.training.trainer import Trained
from Testing.training import balls
from Testing.training.ending import Stopped, kill_after, stop_after

STEPS = 12
TEACHER = balls.member(
    architecture="resnet3d",
    arguments={"in_channels": 1, "classes": 2, "width": 4, "blocks": 1, "dropout": 0.2},
)
STUDENT = balls.member()
LOSSES = {"dice": 1.0, "kl": {"weight": 0.5, "temperature": 2.0}}


def schedule(losses: dict[str, Any]) -> Any:
    return balls.schedule(STEPS, batch=2, validate_every=4, losses=losses)


def train(
    checkpoint: Path, monitor: Monitor | None = None, seed: int = 3, **settings: Any
) -> tuple[Trained, Trained]:
    return train_together(
        Learner(TEACHER, schedule({"dice": 1.0}), 7),
        Learner(STUDENT, schedule(settings.pop("losses", LOSSES)), seed),
        balls.cases(4),
        balls.cases(2, seed=1),
        checkpoint,
        monitor or Monitor(),
        **settings,
    )


Outcome = tuple[tuple[Trained, Trained], Path]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    checkpoint = tmp_path_factory.mktemp("whole") / "state.safetensors"
    both = train(checkpoint)
    return both, checkpoint


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(t, b.state_dict()[name]) for name, t in a.state_dict().items())


def assert_same(ours: tuple[Trained, Trained], checkpoint: Path, whole: Outcome) -> None:
    """Both networks, histories and checkpoints, bit for bit."""
    for found, expected in zip(ours, whole[0], strict=True):
        assert same(found.network, expected.network)
        assert found.history == expected.history
        assert found.best_step == expected.best_step
    for name in (checkpoint.name, f"teacher-{STEPS}.safetensors"):
        groups = load_state(checkpoint.with_name(name))[0]
        for group, entries in load_state(whole[1].with_name(name))[0].items():
            assert all(torch.equal(groups[group][key], value) for key, value in entries.items())


def test_the_teacher_learns_as_if_it_were_alone(tmp_path: Path, undisturbed: Outcome) -> None:
    alone = balls.train(tmp_path / "state", schedule({"dice": 1.0}), seed=7, network=TEACHER)

    beside = undisturbed[0][0]
    assert same(beside.network, alone.network)
    assert beside.history == alone.history
    assert (beside.best_dice, beside.best_step) == (alone.best_dice, alone.best_step)


def test_the_student_learns_from_the_teacher_in_training(
    tmp_path: Path, undisturbed: Outcome
) -> None:
    more = {**LOSSES, "kl": {"weight": 5.0, "temperature": 2.0}}

    other = train(tmp_path / "state", losses=more)

    assert all(entry["kl"] > 0 for entry in undisturbed[0][1].history)
    assert not same(other[1].network, undisturbed[0][1].network)
    assert same(other[0].network, undisturbed[0][0].network)


def test_the_students_seed_changes_where_it_starts_and_not_the_teacher(
    tmp_path: Path, undisturbed: Outcome
) -> None:
    other = train(tmp_path / "state", seed=4)

    assert same(other[0].network, undisturbed[0][0].network)
    assert not same(other[1].network, undisturbed[0][1].network)


def test_the_weight_of_the_teacher_rises_along_the_ramp(
    tmp_path: Path, undisturbed: Outcome
) -> None:
    ramped = train(tmp_path / "ramp", ramp=1000)[1].network
    without = train(tmp_path / "none", losses={"dice": 1.0})[1].network

    def distance(a: nn.Module, b: nn.Module) -> float:
        pairs = zip(a.parameters(), b.parameters(), strict=True)
        return sum(float((x - y).detach().abs().sum()) for x, y in pairs)

    full = undisturbed[0][1].network
    assert 0 < distance(ramped, without) < distance(full, without)


@pytest.mark.parametrize("step", [3, 4, 9])
def test_a_stopped_training_continues_to_the_same_weights(
    tmp_path: Path, undisturbed: Outcome, step: int
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Stopped):
        train(checkpoint, stop_after(step))

    assert_same(train(checkpoint), checkpoint, undisturbed)


def test_a_killed_training_continues_to_the_same_weights(
    tmp_path: Path, undisturbed: Outcome, project_root: Path
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    kill_after(10, __name__, checkpoint, project_root)
    assert load_state(checkpoint)[1]["step"] == 8

    assert_same(train(checkpoint), checkpoint, undisturbed)


def test_a_kill_between_the_two_checkpoints_parts_nothing(
    tmp_path: Path, undisturbed: Outcome
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Stopped):
        train(checkpoint, stop_after(5))
    # as if killed after the teacher's next checkpoint and before the student's
    checkpoint.with_name("teacher-8.safetensors").write_bytes(b"half")

    assert_same(train(checkpoint), checkpoint, undisturbed)


def test_a_missing_checkpoint_of_the_teacher_is_named(tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Stopped):
        train(checkpoint, stop_after(5))
    checkpoint.with_name("teacher-4.safetensors").unlink()

    with pytest.raises(TrainingError, match=r"teacher-4\.safetensors is missing\. Delete the"):
        train(checkpoint)


def test_what_each_of_the_two_cost_is_told_apart(undisturbed: Outcome) -> None:
    teacher, student = (trained.cost for trained in undisturbed[0])

    assert teacher.seconds > 0
    assert student.seconds > 0
