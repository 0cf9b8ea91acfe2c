"""One trainer for teachers, students and baselines.

What differs between them is data only: the objective's weights and whether the cases carry
soft targets. Every random draw depends on the seed, the step and the place in the batch alone,
so a killed training resumes to the same weights, on a CPU with the same number of threads bit
for bit, and several processes draw what one would have.
"""

from __future__ import annotations

import copy
import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import TensorBoardLogger
from torch import nn

from KDSegmentationLogic.bundles.decoding import encode
from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.reading import FeatureReader, check_layers, layer_channels
from KDSegmentationLogic.distillation.teaching import OnlineTeacher
from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.files import write_text
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.augmentation import Draws, augment
from KDSegmentationLogic.training.cases import TrainingCase
from KDSegmentationLogic.training.checkpoint import (
    load_state,
    optimiser_tensors,
    restore_optimiser,
    save_state,
)
from KDSegmentationLogic.training.cost import Cost, Meter
from KDSegmentationLogic.training.hardware import Hardware, open_fabric
from KDSegmentationLogic.training.losses import Objective
from KDSegmentationLogic.training.sampling import Batch, PatchSampler
from KDSegmentationLogic.training.schedule import Schedule
from KDSegmentationLogic.training.validation import mean_dice


@dataclass(frozen=True)
class Trained:
    """The outcome: averaged weights of the best validation, and how it went.

    history : one entry a validation: step, learning rate, loss of each term (mean since the
        last), Dice.
    """

    network: SegmentationNetwork
    best_dice: float
    best_step: int
    history: tuple[dict[str, float], ...]
    cost: Cost = field(default_factory=Cost)


class Trainer:
    """Trains one network.

    Parameters
    ----------
    member : architecture, arguments, patch and views (its checksum is not used).
    checkpoint : file to continue from and to write to at every validation.
    fabric : launched; one process on the CPU if not given.
    logs : folder for ``history.csv`` and TensorBoard's files.
    teacher : asked about each augmented batch, in place of the cases' soft targets.
    sees : the channels of the cases that the network takes; empty: all. The batches and their
        augmentation do not depend on it.

    Raises
    ------
    TrainingError : no case to train or to validate on; the objective needs soft targets that
        a case lacks; a loss is not finite; the batch does not divide among the processes.
    """

    def __init__(
        self,
        member: Member,
        schedule: Schedule,
        training: Sequence[TrainingCase],
        validation: Sequence[TrainingCase],
        seed: int,
        checkpoint: Path,
        fabric: Fabric | None = None,
        logs: Path | None = None,
        teacher: OnlineTeacher | None = None,
        sees: Sequence[int] = (),
    ) -> None:
        self._teacher, self._sees = teacher, tuple(sees)
        self._member, self._schedule, self._seed = member, schedule, seed
        self._validation, self._checkpoint, self._logs = validation, checkpoint, logs
        self._fabric = fabric = fabric or open_fabric(Hardware("cpu"))
        self._objective = Objective(schedule.losses)
        self._check(training)
        how = schedule.foreground, schedule.mirror, seed, schedule.within
        self._sampler = PatchSampler(training, member.patch, member.views, *how)
        torch.manual_seed(seed)
        network = build_network(member.architecture, member.arguments)
        if schedule.prior_bias:
            _start_from_frequencies(network, training)
        # a step on a CPU takes 10 to 40 % less this way
        layout = torch.channels_last_3d if member.dimensions == 3 else torch.channels_last
        self._layout = layout
        self._network = network.to(fabric.device).to(memory_format=layout)  # type: ignore[call-overload]
        self._average = copy.deepcopy(self._network).eval()
        self._best = copy.deepcopy(self._network).eval()
        self._reader, self._adapters = self._prepare_features()
        optimiser = torch.optim.AdamW(
            [*self._network.parameters(), *self._adapters.parameters()],
            lr=schedule.rate(0),
            weight_decay=schedule.weight_decay,
        )
        wrapped = _WithSecondHead(self._network) if self._objective.needs_deviation else network
        self._forward, self._optimiser = fabric.setup(wrapped, optimiser)
        self._step, self._cost = 0, Cost()
        self._best_dice, self._best_step = -1.0, 0
        self._history: list[dict[str, float]] = []

    def _check(self, training: Sequence[TrainingCase]) -> None:
        """Before the hours, not after."""
        if not training or not self._validation:
            # without validation no weights would ever count as the best
            raise TrainingError(
                "There is no case to train on, or none to validate on.",
                "List some under 'train' and some under 'val' in splits.json.",
            )
        if self._teacher is None and self._objective.layers:
            raise TrainingError(
                "The losses read features of a teacher, but the training has none beside it.",
                "Give the trainer the trained teacher.",
            )
        stored = self._teacher is None and self._objective.needs_teacher
        if stored and any(case.soft is None for case in training):
            raise TrainingError(
                "The losses compare with a teacher, but some cases have no soft targets.",
                "Compute the soft targets of all training cases first.",
            )
        needed = stored and self._objective.needs_deviation
        if needed and any(case.deviation is None for case in training):
            raise TrainingError(
                "The losses compare with the deviation of an ensemble, but some cases have none.",
                "Compute the soft targets again, with the deviation.",
            )
        if self._schedule.batch % self._fabric.world_size:
            raise TrainingError(
                f"A batch of {self._schedule.batch} does not divide among "
                f"{self._fabric.world_size} processes.",
                "Choose a batch that is a multiple of the number of processes.",
            )

    def _prepare_features(self) -> tuple[FeatureReader, nn.ModuleDict]:
        """What reads the student's layers, and what is trained to compare them."""
        layers, device = self._objective.layers, self._fabric.device
        teacher = {} if self._teacher is None else self._teacher.to(device).channels
        try:
            check_layers(self._network, layers)
        except ValueError as error:
            raise TrainingError(f"In the student {error}.", "Name one of these layers.") from None
        channels = layer_channels(self._network, layers)
        adapters = self._objective.adapters(channels, teacher, self._member.dimensions)
        return FeatureReader(self._network, layers), adapters.to(device)

    def run(self, monitor: Monitor) -> Trained:
        """Train to the end, from the checkpoint where there is one."""
        if self._checkpoint.is_file():
            self._resume()
        board = self._open_board()
        with Meter(self._fabric.device.type, self._fabric.world_size) as meter:
            self._go_on(board, meter, monitor)
        return Trained(
            self._best, self._best_dice, self._best_step, tuple(self._history), self._cost
        )

    def _go_on(self, board: TensorBoardLogger | None, meter: Meter, monitor: Monitor) -> None:
        since: list[dict[str, float]] = []
        while self._step < self._schedule.steps:
            since.append(self._train_step())
            self._step += 1
            last = self._step == self._schedule.steps
            if self._step % self._schedule.validate_every == 0 or last:
                self._validate(since)
                since = []
                self._cost = self._cost.plus(meter.read())
                self._save(board)
            monitor.report(
                self._step / self._schedule.steps,
                f"step {self._step} of {self._schedule.steps}, Dice {self._best_dice:.3f}",
            )

    def _train_step(self) -> dict[str, float]:
        # dropout; each process drops other features of its own patches
        torch.manual_seed(_mixed(self._seed, self._step) + self._fabric.global_rank)
        batch = self._next_batch()
        for group in self._optimiser.param_groups:
            group["lr"] = self._schedule.rate(self._step)
        self._forward.train()
        loss, parts = self._objective(self._lesson(batch), self._adapters)
        known = self._over_processes({**parts, "total": loss.detach()})
        self._require_finite(known, batch)
        self._optimiser.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        self._share_gradients()
        norm = self._fabric.clip_gradients(
            self._forward,
            self._optimiser,
            max_norm=self._schedule.clip_norm,
            error_if_nonfinite=False,
        )
        self._require_finite({"gradient": float(norm)}, batch)  # type: ignore[arg-type]
        self._optimiser.step()
        self._update_average()
        del known["total"]
        return known

    def _lesson(self, batch: Batch) -> Lesson:
        """The student's forward pass, and the teacher's where it is asked now."""
        seen = batch.image[:, list(self._sees)] if self._sees else batch.image
        image = seen.contiguous(memory_format=self._layout)
        output = self._forward(image)
        logits, deviation = output if isinstance(output, tuple) else (output, None)
        features = dict(self._reader.features)
        if self._teacher is None:
            return Lesson(logits, batch.labels, batch.soft, deviation, batch.deviation, features)
        said = self._teacher(batch.image.contiguous(memory_format=self._layout))
        return Lesson(
            logits,
            batch.labels,
            said.probabilities,
            deviation,
            said.deviation,
            features,
            said.features,
        )

    def _share_gradients(self) -> None:
        """The adapters are no part of the network, whose gradients Fabric averages itself."""
        if self._fabric.world_size == 1:
            return
        for parameter in self._adapters.parameters():
            if parameter.grad is not None:
                mean = self._fabric.all_reduce(parameter.grad, reduce_op="mean")
                parameter.grad.copy_(mean)  # type: ignore[arg-type]

    def _next_batch(self) -> Batch:
        """This process's share of the step's batch, augmented."""
        world, rank = self._fabric.world_size, self._fabric.global_rank
        places = range(rank, self._schedule.batch, world)
        first = _mixed(self._seed, self._step) * self._schedule.batch
        batch = self._sampler.batch(self._step, places)
        draws = Draws([first + place for place in places])
        return augment(batch, self._schedule.augmentation, draws).to(self._fabric.device)

    def _over_processes(self, values: dict[str, torch.Tensor]) -> dict[str, float]:
        """The mean over all processes."""
        stacked = torch.stack([value.float() for value in values.values()])
        mean = self._fabric.all_reduce(stacked, reduce_op="mean")
        return dict(zip(values, mean.tolist(), strict=True))  # type: ignore[union-attr]

    def _require_finite(self, values: dict[str, float], batch: Batch) -> None:
        if not np.isfinite(list(values.values())).all():
            raise TrainingError(
                f"A loss is not finite at step {self._step} (seed {self._seed}): {values}, "
                f"on the cases {', '.join(sorted(set(batch.names)))}.",
                "Lower the learning rate, or look for damaged images among these cases.",
            )

    @torch.no_grad()
    def _update_average(self) -> None:
        # short at first, or the random start would stay in the mean for long
        decay = min(self._schedule.averaging, (1 + self._step) / (10 + self._step))
        current = self._network.state_dict()
        for name, tensor in self._average.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(current[name], 1 - decay)
            else:
                tensor.copy_(current[name])

    def _validate(self, since: list[dict[str, float]]) -> None:
        dice = 0.0
        if self._fabric.is_global_zero:
            dice = mean_dice(self._average, self._member, self._validation, self._sees)
        dice = float(self._fabric.broadcast(dice))
        losses = {name: sum(p[name] for p in since) / len(since) for name in since[0]}
        rate = self._schedule.rate(self._step - 1)
        self._history.append(
            {"step": self._step, "learning_rate": rate, **losses, "validation_dice": dice}
        )
        if dice > self._best_dice:
            self._best_dice, self._best_step = dice, self._step
            self._best.load_state_dict(self._average.state_dict())

    def _open_board(self) -> TensorBoardLogger | None:
        if self._logs is None or not self._fabric.is_global_zero:
            return None
        return TensorBoardLogger(self._logs, name="", version="tensorboard")

    def _save(self, board: TensorBoardLogger | None) -> None:
        if self._fabric.is_global_zero:
            self._save_checkpoint()
        if board is not None and self._logs is not None:
            # whole each time: a training that was resumed has no line twice
            write_text(self._logs / "history.csv", _as_csv(self._history))
            board.log_metrics(self._history[-1], step=self._step)
            board.save()
        self._fabric.barrier()

    def _save_checkpoint(self) -> None:
        adapters = self._adapters.state_dict()
        save_state(
            self._checkpoint,
            {
                **({"adapters": adapters} if adapters else {}),
                "network": self._network.state_dict(),
                "average": self._average.state_dict(),
                "best": self._best.state_dict(),
                "optimiser": optimiser_tensors(self._optimiser.optimizer),
            },
            {
                "of": self._identity(),
                "step": self._step,
                "cost": asdict(self._cost),
                "best_dice": self._best_dice,
                "best_step": self._best_step,
                "history": self._history,
            },
        )

    def _resume(self) -> None:
        groups, facts = load_state(self._checkpoint)
        try:
            if facts["of"] != self._identity():
                raise KeyError("settings")
            self._network.load_state_dict(groups["network"])
            self._adapters.load_state_dict(groups.get("adapters", {}))
            self._average.load_state_dict(groups["average"])
            self._best.load_state_dict(groups["best"])
            restore_optimiser(self._optimiser.optimizer, groups["optimiser"])
            self._step, self._cost = facts["step"], Cost(**facts["cost"])
            self._best_dice, self._best_step = facts["best_dice"], facts["best_step"]
            self._history = facts["history"]
        except (KeyError, RuntimeError) as error:
            raise TrainingError(
                f"The checkpoint {self._checkpoint} is of another training.",
                "Use another output folder, or delete the checkpoint.",
            ) from error

    def _identity(self) -> Any:
        """What makes the weights what they are, but for the data."""
        made_of: list[Any] = [self._member, self._schedule, self._seed]
        if self._sees:
            made_of.append(list(self._sees))
        return encode(made_of, omit_defaults=True)


class _WithSecondHead(nn.Module):
    """Both heads in one forward, as distributed training wants it."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network.forward_with_deviation(x)


def _mixed(seed: int, step: int) -> int:
    return seed * 1_000_003 + 2 * step


def _as_csv(history: Sequence[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


@torch.no_grad()
def _start_from_frequencies(network: SegmentationNetwork, cases: Sequence[TrainingCase]) -> None:
    """Set the last bias to the log frequency of each class; an absent one counts a voxel."""
    bias = network.classifier.bias
    counts = sum(np.bincount(case.labels.ravel(), minlength=network.classes) for case in cases)
    frequencies = torch.from_numpy(np.maximum(counts, 1)).double()
    bias.copy_((frequencies / frequencies.sum()).log())  # type: ignore[union-attr]
