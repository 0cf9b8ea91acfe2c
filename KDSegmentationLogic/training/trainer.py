"""One trainer for teachers, students and baselines.

What differs between them is data only: the objective's weights and whether the cases carry
soft targets. Every random draw depends on (seed, step) alone, so a killed training resumes
to the same weights, on a CPU with the same number of threads bit for bit.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.augmentation import Augmentation, augment
from KDSegmentationLogic.training.cases import TrainingCase
from KDSegmentationLogic.training.checkpoint import (
    load_state,
    optimiser_tensors,
    restore_optimiser,
    save_state,
)
from KDSegmentationLogic.training.losses import Objective
from KDSegmentationLogic.training.sampling import PatchSampler
from KDSegmentationLogic.training.validation import mean_dice


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. ``losses``: weights by name (``Objective``).

    The learning rate rises linearly over ``warmup`` steps and falls along a cosine to zero; at
    each of ``restarts`` it starts to fall anew (Loshchilov and Hutter 2017, arXiv:1608.03983).
    ``foreground`` and ``mirror``: see ``PatchSampler``. ``averaging``: decay of the running
    mean of the weights, which is what is validated and kept. ``prior_bias``: the network starts
    from predicting each class as often as it occurs (Lin et al. 2017, arXiv:1708.02002). With
    cross-entropy on small structures the first steps otherwise only teach "background", and a
    network without normalisation in its head may not come back from that.

    Raises
    ------
    ValueError : a value out of its range.
    """

    steps: int
    losses: dict[str, float]
    batch: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    warmup: int = 50
    averaging: float = 0.99
    clip_norm: float = 5.0
    foreground: float = 0.67
    mirror: tuple[int, ...] = ()
    prior_bias: bool = False
    restarts: tuple[int, ...] = ()
    validate_every: int = 100
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero")
        for name in ("warmup", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below zero")
        if not 0 <= self.averaging < 1:
            raise ValueError("averaging must be at least 0 and below 1")
        if not 0 <= self.foreground <= 1:
            raise ValueError("foreground must be a share from 0 to 1")
        if list(self.restarts) != sorted(
            {r for r in self.restarts if self.warmup < r < self.steps}
        ):
            raise ValueError("restarts must rise from after the warm-up to before the last step")
        if not set(self.mirror) <= {0, 1, 2}:
            raise ValueError("mirror must name axes of the volume: 0 z, 1 y, 2 x")

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ..."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        first = max((r for r in self.restarts if r <= step), default=self.warmup)
        last = min((r for r in self.restarts if r > step), default=self.steps)
        done = (step - first) / max(1, last - first)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Trained:
    """The outcome: averaged weights of the best validation, and how it went.

    history : one entry a validation: step, loss of each term (mean since the last), Dice.
    """

    network: nn.Module
    best_dice: float
    best_step: int
    seconds: float
    history: tuple[dict[str, float], ...]


class Trainer:
    """Trains one network.

    Parameters
    ----------
    member : architecture, arguments, patch and views (its checksum is not used).
    checkpoint : file to continue from and to write to at every validation.

    Raises
    ------
    TrainingError : no case to train or to validate on; the objective needs soft targets that
        a case lacks; a loss is not finite.
    """

    def __init__(
        self,
        member: Member,
        schedule: Schedule,
        training: Sequence[TrainingCase],
        validation: Sequence[TrainingCase],
        seed: int,
        checkpoint: Path,
        device: str = "cpu",
    ) -> None:
        self._member, self._schedule, self._seed = member, schedule, seed
        self._validation, self._checkpoint, self._device = validation, checkpoint, device
        self._objective = Objective(schedule.losses)
        if not training or not validation:
            # without validation no weights would ever count as the best
            raise TrainingError(
                "There is no case to train on, or none to validate on.",
                "List some under 'train' and some under 'val' in splits.json.",
            )
        if self._objective.needs_teacher and any(case.soft is None for case in training):
            raise TrainingError(
                "The losses compare with a teacher, but some cases have no soft targets.",
                "Compute the soft targets of all training cases first.",
            )
        self._sampler = PatchSampler(
            training, member.patch, member.views, schedule.foreground, schedule.mirror, seed
        )
        torch.manual_seed(seed)
        self._network = build_network(member.architecture, member.arguments).to(device)
        if schedule.prior_bias:
            _start_from_frequencies(self._network, training)
        # a step on a CPU takes 10 to 40 % less this way
        layout = torch.channels_last_3d if member.dimensions == 3 else torch.channels_last
        self._layout = layout
        self._network.to(memory_format=layout)  # type: ignore[call-overload]
        self._average = copy.deepcopy(self._network).eval()
        self._best = copy.deepcopy(self._network).eval()
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), lr=schedule.rate(0), weight_decay=schedule.weight_decay
        )
        self._step, self._seconds = 0, 0.0
        self._best_dice, self._best_step = -1.0, 0
        self._history: list[dict[str, float]] = []

    def run(self, monitor: Monitor) -> Trained:
        """Train to the end, from the checkpoint where there is one."""
        if self._checkpoint.is_file():
            self._resume()
        since: list[dict[str, float]] = []
        started = time.perf_counter()
        while self._step < self._schedule.steps:
            since.append(self._train_step())
            self._step += 1
            last = self._step == self._schedule.steps
            if self._step % self._schedule.validate_every == 0 or last:
                self._validate(since)
                since = []
                now = time.perf_counter()
                self._seconds, started = self._seconds + now - started, now
                self._save()
            monitor.report(
                self._step / self._schedule.steps,
                f"step {self._step} of {self._schedule.steps}, Dice {self._best_dice:.3f}",
            )
        return Trained(
            self._best, self._best_dice, self._best_step, self._seconds, tuple(self._history)
        )

    def _train_step(self) -> dict[str, float]:
        torch.manual_seed(_mixed(self._seed, self._step))  # dropout
        generator = torch.Generator().manual_seed(_mixed(self._seed, self._step) + 1)
        batch = self._sampler.batch(self._step, self._schedule.batch)
        batch = augment(batch, self._schedule.augmentation, generator).to(self._device)
        for group in self._optimiser.param_groups:
            group["lr"] = self._schedule.rate(self._step)
        self._network.train()
        logits = self._network(batch.image.contiguous(memory_format=self._layout))
        loss, parts = self._objective(logits, batch.labels, batch.soft)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss is not finite at step {self._step} (seed {self._seed}): {parts}.",
                "Lower the learning rate, or look for damaged images.",
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), self._schedule.clip_norm)
        self._optimiser.step()
        self._update_average()
        return parts

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
        dice = mean_dice(self._average, self._member, self._validation)
        losses = {name: sum(p[name] for p in since) / len(since) for name in since[0]}
        self._history.append({"step": self._step, **losses, "validation_dice": dice})
        if dice > self._best_dice:
            self._best_dice, self._best_step = dice, self._step
            self._best.load_state_dict(self._average.state_dict())

    def _save(self) -> None:
        save_state(
            self._checkpoint,
            {
                "network": self._network.state_dict(),
                "average": self._average.state_dict(),
                "best": self._best.state_dict(),
                "optimiser": optimiser_tensors(self._optimiser),
            },
            {
                "step": self._step,
                "seconds": self._seconds,
                "best_dice": self._best_dice,
                "best_step": self._best_step,
                "history": self._history,
            },
        )

    def _resume(self) -> None:
        groups, facts = load_state(self._checkpoint)
        try:
            self._network.load_state_dict(groups["network"])
            self._average.load_state_dict(groups["average"])
            self._best.load_state_dict(groups["best"])
            restore_optimiser(self._optimiser, groups["optimiser"])
            self._step, self._seconds = facts["step"], facts["seconds"]
            self._best_dice, self._best_step = facts["best_dice"], facts["best_step"]
            self._history = facts["history"]
        except (KeyError, RuntimeError) as error:
            raise TrainingError(
                f"The checkpoint {self._checkpoint} is of another training.",
                "Use another output folder, or delete the checkpoint.",
            ) from error


def _mixed(seed: int, step: int) -> int:
    return seed * 1_000_003 + 2 * step


@torch.no_grad()
def _start_from_frequencies(network: SegmentationNetwork, cases: Sequence[TrainingCase]) -> None:
    """Set the last bias to the log frequency of each class; an absent one counts a voxel."""
    bias = network.classifier.bias
    counts = sum(np.bincount(case.labels.ravel(), minlength=network.classes) for case in cases)
    frequencies = torch.from_numpy(np.maximum(counts, 1)).double()
    bias.copy_((frequencies / frequencies.sum()).log())  # type: ignore[union-attr]
