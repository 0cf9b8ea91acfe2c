"""A teacher that is asked about each batch: what it says, and that only the student learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from KDSegmentationLogic.distillation.teaching import OnlineTeacher
from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.checkpoint import load_state
from KDSegmentationLogic.training.trainer import Trained, Trainer
from Testing.training import balls
from Testing.training.ending import Stopped, stop_after

GENERATOR = {"masked_boundary": {"weight": 1.0, "width": 4}}


def network(seed: int, widths: tuple[int, ...] = (6, 8), dimensions: int = 3) -> Any:
    torch.manual_seed(seed)
    arguments = {"in_channels": 1, "classes": 2, "dimensions": dimensions, "widths": list(widths)}
    return build_network("student_unet", {**arguments, "stem_stride": 1})


def train(
    checkpoint: Path,
    losses: dict[str, Any],
    teacher: OnlineTeacher | None = None,
    monitor: Monitor | None = None,
    **changes: Any,
) -> Trained:
    how = balls.schedule(6, batch=2, validate_every=2, losses=losses)
    made = balls.cases(2)
    trainer = Trainer(balls.member(**changes), how, made, made, 3, checkpoint, teacher=teacher)
    return trainer.run(monitor or Monitor())


def weights(of: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in of.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("size", [(8, 8), (8, 8, 8)])
def test_it_says_the_mean_and_the_deviation_of_its_members_probabilities(
    size: tuple[int, ...],
) -> None:
    networks = [network(seed, dimensions=len(size)) for seed in (0, 1)]
    image = torch.randn(2, 1, *size)

    said = OnlineTeacher(networks, deviation=True)(image)

    a, b = (torch.softmax(n(image), 1) for n in networks)
    assert said.probabilities is not None
    assert said.deviation is not None
    assert torch.allclose(said.probabilities, (a + b) / 2, atol=1e-6)
    assert torch.allclose(said.deviation, (a - b).abs() / 2, atol=1e-6)
    assert not said.probabilities.requires_grad


def test_the_deviation_is_left_out_where_it_is_not_asked_for() -> None:
    assert OnlineTeacher([network(0)])(torch.randn(1, 1, 8, 8, 8)).deviation is None


def test_it_reads_the_layers_of_the_member_that_it_is_told() -> None:
    networks = [network(0, (4, 8)), network(1, (6, 12))]
    image = torch.randn(1, 1, 8, 8, 8)

    teacher = OnlineTeacher(networks, ["last", "bottleneck"], features_of=1)

    assert teacher.channels == {"last": 6, "bottleneck": 12}
    features = teacher(image).features
    logits = networks[1].classifier(features["last"])
    assert torch.allclose(logits, networks[1](image), atol=1e-6)


def test_only_the_member_that_is_read_is_run_where_nothing_else_is_asked() -> None:
    class Broken(SegmentationNetwork):
        def __init__(self) -> None:
            super().__init__(1, 2, (2, 2, 2), (1, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError(f"was run on {tuple(x.shape)}")

    teacher = OnlineTeacher([Broken(), network(0)], ["last"], 1, probabilities=False)

    said = teacher(torch.randn(1, 1, 8, 8, 8))

    assert said.probabilities is None
    assert set(said.features) == {"last"}


def test_the_teacher_stays_as_it_is(tmp_path: Path) -> None:
    member = network(0)
    before = weights(member)
    losses = {"dice": 1.0, "kl": 1.0, "attention": 1.0, **GENERATOR}

    trained = train(tmp_path / "state", losses, OnlineTeacher([member], ["last"]))

    assert same(before, weights(member))
    assert all(parameter.grad is None for parameter in member.parameters())
    assert set(trained.history[0]) >= {"kl", "attention", "masked_boundary"}


def test_what_the_teacher_says_and_not_stored_targets_is_learned(tmp_path: Path) -> None:
    losses = {"kl": 1.0}
    first, second = (
        train(tmp_path / f"state{seed}", losses, OnlineTeacher([network(seed)])) for seed in (0, 1)
    )

    assert not same(weights(first.network), weights(second.network))


def test_an_ensemble_beside_the_student_teaches_its_deviation(tmp_path: Path) -> None:
    arguments = {**balls.member().arguments, "deviation": True}

    trained = train(
        tmp_path / "state",
        {"kl": 1.0, "deviation": 1.0},
        OnlineTeacher([network(0), network(1)], deviation=True),
        arguments=arguments,
    )

    assert trained.history[-1]["deviation"] > 0


def test_adapters_are_trained_kept_in_the_checkpoint_and_no_part_of_the_student(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    with pytest.raises(Stopped):
        train(state, GENERATOR, OnlineTeacher([network(0)], ["last"]), stop_after(3))
    early = load_state(state)[0]["adapters"]

    trained = train(state, GENERATOR, OnlineTeacher([network(0)], ["last"]))
    late = load_state(state)[0]["adapters"]

    assert set(early) == set(late)
    assert len(early) == 4  # weights and biases of two convolutions
    assert all(not torch.equal(early[name], late[name]) for name in early)
    assert set(trained.network.state_dict()) == set(network(0).state_dict())


def test_a_training_that_was_stopped_goes_on_with_its_adapters(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", GENERATOR, OnlineTeacher([network(0)], ["last"]))
    with pytest.raises(Stopped):
        train(tmp_path / "state", GENERATOR, OnlineTeacher([network(0)], ["last"]), stop_after(3))

    resumed = train(tmp_path / "state", GENERATOR, OnlineTeacher([network(0)], ["last"]))

    assert same(weights(whole.network), weights(resumed.network))
    groups = [load_state(tmp_path / name)[0] for name in ("whole", "state")]
    assert same(groups[0]["adapters"], groups[1]["adapters"])


def test_losses_that_read_layers_need_a_teacher_beside_the_student(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="read features of a teacher, but the training has"):
        train(tmp_path / "state", {"attention": 1.0})


def test_a_layer_that_the_student_lacks_is_named_with_those_that_it_has(tmp_path: Path) -> None:
    losses = {"attention": {"weight": 1.0, "layers": ["encoder3"]}}
    teacher = OnlineTeacher([network(0, (4, 4, 4))], ["encoder3"])

    with pytest.raises(TrainingError, match=r"no layer encoder3, only last, bottleneck, encoder1"):
        train(tmp_path / "state", losses, teacher)
