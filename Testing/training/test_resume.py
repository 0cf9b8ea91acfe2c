"""A training that was stopped, or killed, ends with the weights of one that was not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.checkpoint import load_state, save_state
from KDSegmentationLogic.training.trainer import Trained
from Testing.training import balls
from Testing.training.ending import Stopped, kill_after, stop_after

# Dropout and everything that augmentation draws have to be repeated as well.
MEMBER = balls.member(
    architecture="resnet3d",
    arguments={"in_channels": 1, "classes": 2, "width": 4, "blocks": 1, "dropout": 0.2},
)
STEPS = 24


def train(checkpoint: Path, monitor: Monitor | None = None) -> Trained:
    how = balls.schedule(STEPS, batch=2, validate_every=5, losses={"dice": 1.0, "cross_entropy": 1})
    return balls.train(checkpoint, how, monitor, network=MEMBER)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """A training from start to end, and its last checkpoint."""
    checkpoint = tmp_path_factory.mktemp("whole") / "state.safetensors"
    trained = train(checkpoint)
    return trained, checkpoint


def assert_same(ours: Trained, checkpoint: Path, undisturbed: tuple[Trained, Path]) -> None:
    """The same network, history, optimiser and running mean, bit for bit."""
    whole, whole_checkpoint = undisturbed
    tensors = whole.network.state_dict()
    assert all(torch.equal(tensors[k], t) for k, t in ours.network.state_dict().items())
    assert ours.history == whole.history
    assert (ours.best_dice, ours.best_step) == (whole.best_dice, whole.best_step)
    groups, expected = load_state(checkpoint)[0], load_state(whole_checkpoint)[0]
    assert set(groups) == {"network", "average", "best", "optimiser"}
    for group, entries in expected.items():
        assert set(groups[group]) == set(entries)
        assert all(torch.equal(groups[group][name], entries[name]) for name in entries)


@pytest.mark.parametrize("step", [3, 5, 13, 23])
def test_a_stopped_training_continues_to_the_same_weights(
    tmp_path: Path, undisturbed: tuple[Trained, Path], step: int
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Stopped):
        train(checkpoint, stop_after(step))

    assert_same(train(checkpoint), checkpoint, undisturbed)


def test_a_training_stopped_again_and_again_continues_to_the_same_weights(
    tmp_path: Path, undisturbed: tuple[Trained, Path]
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    for step in (6, 11, 12, 18):
        with pytest.raises(Stopped):
            train(checkpoint, stop_after(step))

    assert_same(train(checkpoint), checkpoint, undisturbed)


def test_a_killed_training_continues_to_the_same_weights(
    tmp_path: Path, undisturbed: tuple[Trained, Path], project_root: Path
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    kill_after(17, __name__, checkpoint, project_root)
    assert load_state(checkpoint)[1]["step"] == 15

    assert_same(train(checkpoint), checkpoint, undisturbed)


def test_a_finished_training_is_handed_back_without_another_step(
    undisturbed: tuple[Trained, Path],
) -> None:
    whole, checkpoint = undisturbed
    said: list[str] = []

    again = train(checkpoint, Monitor(lambda _, text: said.append(text)))

    assert said == []
    assert_same(again, checkpoint, undisturbed)
    assert again.cost == whole.cost


def test_the_seconds_of_all_parts_are_added_up(tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(Stopped):
        train(checkpoint, stop_after(20))
    before = load_state(checkpoint)[1]["cost"]["seconds"]

    assert train(checkpoint).cost.seconds > before > 0


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.9])
def test_a_cut_off_checkpoint_is_refused(
    tmp_path: Path, undisturbed: tuple[Trained, Path], kept: float
) -> None:
    content = undisturbed[1].read_bytes()
    checkpoint = tmp_path / "state.safetensors"
    checkpoint.write_bytes(content[: int(kept * len(content))])

    with pytest.raises(TrainingError, match=r"state\.safetensors cannot be read .* Delete it to"):
        train(checkpoint)


@pytest.mark.parametrize("metadata", [{}, {"facts": "{"}])
def test_a_checkpoint_without_its_facts_is_refused(
    tmp_path: Path, metadata: dict[str, str]
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    save_file({"network/a": torch.zeros(1)}, checkpoint, metadata=metadata)

    with pytest.raises(TrainingError, match=r"state\.safetensors cannot be read"):
        train(checkpoint)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    balls.train(checkpoint, balls.schedule(1))

    with pytest.raises(TrainingError, match=r"is of another training\. Use another output folder"):
        train(checkpoint)


def test_a_checkpoint_of_a_wider_network_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    wider = {**balls.member().arguments, "widths": [8, 24]}
    balls.train(checkpoint, balls.schedule(1), network=balls.member(arguments=wider))

    with pytest.raises(TrainingError, match="is of another training"):
        balls.train(checkpoint, balls.schedule(2))


def test_a_state_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    tensors = {"a.b": torch.arange(6.0).view(2, 3).T, "count": torch.tensor(3)}
    facts = {"step": 3, "history": [{"dice": 0.1 + 0.2}]}

    save_state(tmp_path / "deep" / "state", {"one": tensors, "two": {}}, facts)
    groups, told = load_state(tmp_path / "deep" / "state")

    assert told == facts
    assert set(groups) == {"one"}
    assert all(torch.equal(groups["one"][name], tensors[name]) for name in tensors)


def test_a_save_that_fails_leaves_the_last_state(tmp_path: Path) -> None:
    save_state(tmp_path / "state", {"one": {"a": torch.ones(2)}}, {"step": 1})

    with pytest.raises(TypeError):
        save_state(tmp_path / "state", {"one": {"a": torch.zeros(2)}}, {"step": object()})

    groups, facts = load_state(tmp_path / "state")
    assert facts == {"step": 1}
    assert groups["one"]["a"].tolist() == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
