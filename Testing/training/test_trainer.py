"""The trainer learns, follows its schedule, and stops with a sentence where it cannot go on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from KDSegmentationLogic.errors import Cancelled, TrainingError
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import CancelToken, Monitor
from KDSegmentationLogic.training.cases import TrainingCase
from KDSegmentationLogic.training.checkpoint import Tensors, load_state
from KDSegmentationLogic.training.schedule import Schedule
from KDSegmentationLogic.training.trainer import Trainer
from KDSegmentationLogic.training.validation import mean_dice
from Testing.training import balls


class Watch:
    """Keeps what the checkpoint holds after each step; needs ``validate_every=1``."""

    def __init__(self, checkpoint: Path) -> None:
        self.steps: list[dict[str, Tensors]] = []
        self.monitor = Monitor(lambda *_: self.steps.append(load_state(checkpoint)[0]))

    def change(self, step: int, group: str = "network") -> float:
        """How far the weights moved most from ``step`` to the next (0: after the first step)."""
        before, after = self.steps[step][group], self.steps[step + 1][group]
        return max(float((after[k] - before[k]).abs().max()) for k in weights(before))


def weights(tensors: Tensors) -> list[str]:
    """The names of the trained tensors, without the statistics of batch norm."""
    return [name for name in tensors if "running" not in name and "num_batches" not in name]


def watched(tmp_path: Path, how: Schedule, seed: int = 7) -> Watch:
    watch = Watch(tmp_path / "state.safetensors")
    balls.train(tmp_path / "state.safetensors", how, watch.monitor, seed)
    return watch


@pytest.mark.parametrize("dimensions", [3, 2])
def test_a_network_learns_to_find_balls(tmp_path: Path, dimensions: int) -> None:
    how = balls.schedule(80, validate_every=20, batch=4 if dimensions == 3 else 16)

    trained = balls.train(tmp_path / "state", how, network=balls.member(dimensions))

    first, last = trained.history[0], trained.history[-1]
    assert last["dice"] < first["dice"] / 2
    assert trained.best_dice > 0.8
    assert trained.best_dice == max(entry["validation_dice"] for entry in trained.history)


def test_the_network_handed_back_is_the_one_of_the_best_validation(tmp_path: Path) -> None:
    trained = balls.train(tmp_path / "state", balls.schedule(40))

    again = mean_dice(trained.network, balls.member(), balls.cases(2, seed=1))

    assert again == trained.best_dice
    best = next(e for e in trained.history if e["validation_dice"] == trained.best_dice)
    assert best["step"] == trained.best_step


def test_the_history_tells_step_losses_and_dice_of_every_validation(tmp_path: Path) -> None:
    how = balls.schedule(25, losses={"dice": 1.0, "cross_entropy": 0.5})

    trained = balls.train(tmp_path / "state", how)

    assert [entry["step"] for entry in trained.history] == [10, 20, 25]
    names = {"step", "learning_rate", "dice", "cross_entropy", "validation_dice"}
    assert all(set(entry) == names for entry in trained.history)
    assert trained.cost.seconds > 0


def test_a_training_says_how_far_it_is(tmp_path: Path) -> None:
    said: list[tuple[float, str]] = []
    monitor = Monitor(lambda fraction, text: said.append((fraction, text)))

    balls.train(tmp_path / "state", balls.schedule(4), monitor)

    assert [fraction for fraction, _ in said] == [0.25, 0.5, 0.75, 1.0]
    assert said[-1][1].startswith("step 4 of 4, Dice ")


def test_a_cancelled_training_stops_at_once(tmp_path: Path) -> None:
    token = CancelToken()
    monitor = Monitor(lambda *_: token.cancel(), cancel=token)

    with pytest.raises(Cancelled):
        balls.train(tmp_path / "state", balls.schedule(1000, validate_every=1), monitor)
    assert load_state(tmp_path / "state")[1]["step"] <= 2


def test_the_rate_rises_over_the_warm_up_and_falls_along_a_cosine_to_zero() -> None:
    how = Schedule(110, {"dice": 1.0}, learning_rate=0.4, warmup=10)

    assert [how.rate(step) for step in range(10)] == pytest.approx([0.04 * i for i in range(1, 11)])
    assert how.rate(10) == pytest.approx(0.4)
    assert how.rate(35) == pytest.approx(0.4 * (1 + math.cos(math.pi / 4)) / 2)
    assert how.rate(60) == pytest.approx(0.2)
    assert 0 < how.rate(109) < 0.4 * 1e-3
    assert how.rate(110) == pytest.approx(0)


def test_a_polynomial_decay_has_the_power_of_nine_tenths() -> None:
    how = Schedule(100, {"dice": 1.0}, learning_rate=0.4, warmup=0, decay="poly")

    rates = [how.rate(step) for step in range(101)]

    assert rates == pytest.approx([0.4 * (1 - step / 100) ** 0.9 for step in range(101)])


@pytest.mark.parametrize(
    ("within", "foreground", "words"),
    [((4, 4), 0.0, "three sizes"), ((4, 4, 4), 0.5, "foreground of 0 alone")],
)
def test_a_box_for_patches_that_does_not_fit_is_refused(
    within: tuple[int, ...], foreground: float, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Schedule(5, {"dice": 1.0}, foreground=foreground, within=within)


@pytest.mark.parametrize("decay", ["cosine", "poly"])
def test_a_schedule_all_of_warm_up_has_a_rate_for_every_step(
    decay: Literal["cosine", "poly"],
) -> None:
    how = Schedule(5, {"dice": 1.0}, learning_rate=0.4, warmup=5, decay=decay)

    assert [how.rate(step) for step in range(6)] == pytest.approx(
        [0.08, 0.16, 0.24, 0.32, 0.4, 0.4]
    )


@pytest.mark.parametrize("warmup", [1, 4, 20])
def test_the_first_step_is_as_long_as_the_rate_of_step_0(tmp_path: Path, warmup: int) -> None:
    how = balls.schedule(1, warmup=warmup, weight_decay=0.0, learning_rate=0.02)
    torch.manual_seed(7)
    start = build_network(balls.member().architecture, balls.member().arguments).state_dict()

    (after,) = watched(tmp_path, how).steps

    # Adam's first step moves each weight by its rate, whatever the gradient's size
    moved = max(float((after["network"][k] - start[k]).abs().max()) for k in weights(start))
    assert moved == pytest.approx(how.rate(0), rel=0.02)


class Stopping(Schedule):
    """A schedule whose rate is zero from step 3 on."""

    def rate(self, step: int) -> float:
        return 0.01 if step < 3 else 0.0


def test_the_rate_of_every_step_reaches_the_optimiser(tmp_path: Path) -> None:
    steps = watched(tmp_path, Stopping(6, {"dice": 1.0}, batch=2, validate_every=1))

    moved = [steps.change(step) for step in range(5)]

    assert min(moved[:2]) > 1e-3
    assert moved[2:] == [0, 0, 0]


def test_the_running_mean_follows_its_formula_for_weights_and_batch_norm(tmp_path: Path) -> None:
    how = balls.schedule(4, batch=2, validate_every=1, averaging=0.15)
    torch.manual_seed(7)
    expected = build_network(balls.member().architecture, balls.member().arguments).state_dict()

    for step, state in enumerate(watched(tmp_path, how).steps):
        kept = min(0.15, (1 + step) / (10 + step))
        for name, tensor in state["network"].items():
            if tensor.is_floating_point():
                expected[name] = kept * expected[name] + (1 - kept) * tensor
            else:
                expected[name] = tensor
            assert torch.allclose(
                state["average"][name].to(expected[name]), expected[name], atol=1e-6
            )
    assert any("running_var" in name for name in expected)
    assert any("num_batches" in name for name in expected)


def test_without_averaging_the_mean_is_the_network(tmp_path: Path) -> None:
    (state,) = watched(tmp_path, balls.schedule(1, averaging=0.0)).steps

    assert all(torch.equal(state["average"][k], state["network"][k]) for k in state["network"])


def test_the_same_seed_trains_the_same_network_and_another_one_does_not(tmp_path: Path) -> None:
    states = []
    for number, seed in enumerate((3, 3, 4)):
        checkpoint = tmp_path / str(number)
        balls.train(checkpoint, balls.schedule(3), seed=seed)
        states.append(load_state(checkpoint)[0]["network"])

    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


@pytest.mark.parametrize("seed", [0, 12])
def test_an_image_with_nan_stops_the_training_with_step_and_seed(tmp_path: Path, seed: int) -> None:
    good, bad = balls.cases(2)
    bad.image[0, 8, 8, 8] = np.nan

    with pytest.raises(TrainingError, match=rf"not finite at step \d+ \(seed {seed}\).*damaged"):
        balls.train(tmp_path / "state", balls.schedule(50), seed=seed, training=[good, bad])


def test_distillation_without_soft_targets_is_refused_before_the_first_step(tmp_path: Path) -> None:
    made = balls.cases(3)
    mixed = [*balls.with_soft(made[:2]), made[2]]
    how = balls.schedule(5, losses={"mse_probabilities": 1.0})

    with pytest.raises(TrainingError, match="some cases have no soft targets"):
        Trainer(balls.member(), how, mixed, made, 0, tmp_path / "state")


@pytest.mark.parametrize(("training", "validation"), [(0, 1), (1, 0)])
def test_a_training_without_cases_to_train_or_to_validate_on_is_refused(
    tmp_path: Path, training: int, validation: int
) -> None:
    sides = balls.cases(training), balls.cases(validation)

    with pytest.raises(TrainingError, match="no case to train on, or none to validate on"):
        Trainer(balls.member(), balls.schedule(1), *sides, 0, tmp_path / "state")


def test_a_student_learns_from_soft_targets_alone_and_leaves_them_as_they_are(
    tmp_path: Path,
) -> None:
    taught = balls.with_soft(balls.cases(4), certainty=0.8)
    before = [case.soft.copy() for case in taught if case.soft is not None]
    # the labels say nothing, so whatever is learned comes from the teacher
    taught = [replace(case, labels=np.zeros_like(case.labels)) for case in taught]
    how = balls.schedule(80, losses={"mse_probabilities": 1.0}, foreground=0.0)

    trained = balls.train(tmp_path / "state", how, training=taught)

    assert trained.best_dice > 0.8
    for case, soft in zip(taught, before, strict=True):
        assert case.soft is not None
        assert (case.soft == soft).all()


def test_validation_leaves_the_network_in_the_mode_and_weights_it_had() -> None:
    network = build_network(balls.member().architecture, balls.member().arguments).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    mean_dice(network, balls.member(), balls.cases(1))

    assert network.training
    assert all(torch.equal(before[k], tensor) for k, tensor in network.state_dict().items())


def test_the_dice_of_a_class_that_is_nowhere_and_not_found_is_one() -> None:
    member = balls.member()
    network = build_network(member.architecture, member.arguments)
    with torch.no_grad():
        network.classifier.weight.zero_()
        assert network.classifier.bias is not None
        network.classifier.bias.copy_(torch.tensor([5.0, -5.0]))
    (case,) = balls.cases(1)

    assert mean_dice(network, member, [case]) == 0.0
    assert mean_dice(network, member, [replace(case, labels=0 * case.labels)]) == 1.0


def test_with_prior_bias_an_untrained_network_predicts_each_class_as_often_as_it_occurs(
    tmp_path: Path,
) -> None:
    made = balls.cases(4)
    how = balls.schedule(1, prior_bias=True, learning_rate=1e-9)

    trained = balls.train(tmp_path / "checkpoint.safetensors", how, training=made)

    bias = trained.network.classifier.bias
    expected = np.mean([case.labels == 1 for case in made])
    assert torch.softmax(bias, 0)[1].item() == pytest.approx(expected, rel=1e-3)


def test_a_loss_that_is_not_finite_names_the_cases_of_its_batch(tmp_path: Path) -> None:
    good, bad = balls.cases(2)
    bad.image[:] = np.inf

    with pytest.raises(TrainingError, match=rf"on the cases .*{bad.name}"):
        balls.train(tmp_path / "state", balls.schedule(50), training=[good, bad])


def test_a_batch_that_does_not_divide_among_the_processes_is_refused(tmp_path: Path) -> None:
    class ThreeProcesses(Fabric):
        @property
        def world_size(self) -> int:
            return 3

    made, fabric = balls.cases(2), ThreeProcesses(accelerator="cpu", devices=1)
    how = balls.schedule(1, batch=4)

    with pytest.raises(TrainingError, match="A batch of 4 does not divide among 3 processes"):
        Trainer(balls.member(), how, made, made, 0, tmp_path / "state", fabric)


def with_deviation(made: list[TrainingCase]) -> list[TrainingCase]:
    """A teacher whose members disagree by 0.3 on the ball and by nothing elsewhere."""
    taught = []
    for case in balls.with_soft(made):
        ball = np.round(510 * 0.3 * case.labels).astype(np.uint8)
        assert case.soft is not None
        taught.append(case.with_soft(case.soft, np.stack([ball, ball])))
    return taught


def test_the_second_head_learns_where_the_members_disagree(tmp_path: Path) -> None:
    arguments = {**balls.member().arguments, "deviation": True}
    how = balls.schedule(80, losses={"mse_probabilities": 1.0, "deviation": 1.0})

    trained = balls.train(
        tmp_path / "state",
        how,
        training=with_deviation(balls.cases(4)),
        network=balls.member(arguments=arguments),
    )

    (case,) = balls.cases(1, seed=5)
    with torch.no_grad():
        said = trained.network.forward_with_deviation(torch.from_numpy(case.image)[None])[1]
    on_ball = float(said[0, 1][torch.from_numpy(case.labels == 1)].mean())
    elsewhere = float(said[0, 1][torch.from_numpy(case.labels == 0)].mean())
    # untrained it says 0.25 everywhere
    assert on_ball > 0.2
    assert elsewhere < 0.15


def test_the_second_head_needs_the_deviation_of_an_ensemble(tmp_path: Path) -> None:
    made = balls.with_soft(balls.cases(2))
    how = balls.schedule(1, losses={"mse_probabilities": 1.0, "deviation": 1.0})

    with pytest.raises(TrainingError, match="deviation of an ensemble, but some cases have none"):
        Trainer(balls.member(), how, made, made, 0, tmp_path / "state")


def test_the_logs_hold_each_validation_once_even_after_a_resumption(tmp_path: Path) -> None:
    def trainer() -> Trainer:
        made = balls.cases(2)
        how = balls.schedule(20)
        return Trainer(
            balls.member(), how, made, made, 3, tmp_path / "state", logs=tmp_path / "logs"
        )

    def stop(_: float, text: str) -> None:
        if text.startswith("step 12 "):
            raise Cancelled

    with pytest.raises(Cancelled):
        trainer().run(Monitor(stop))
    trained = trainer().run(Monitor())

    lines = (tmp_path / "logs" / "history.csv").read_text("utf-8").splitlines()
    assert lines[0] == "step,learning_rate,dice,validation_dice"
    assert [line.split(",")[0] for line in lines[1:]] == ["10", "20"]
    assert float(lines[2].split(",")[-1]) == trained.history[-1]["validation_dice"]
    assert list((tmp_path / "logs" / "tensorboard").glob("events.*"))


def test_the_cost_counts_clock_cores_and_memory(tmp_path: Path) -> None:
    cost = balls.train(tmp_path / "state", balls.schedule(5)).cost

    assert cost.seconds > 0
    assert cost.compute_seconds > 0
    assert 0.05 < cost.peak_memory_gib < 50
