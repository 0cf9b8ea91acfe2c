"""A teacher and a student trained together, step by step on the same batches.

Phase A of Liu et al. 2024 (doi:10.1007/978-3-031-51455-5_21), whose abstract says that both are
trained at the same time and no more. Here, at each step the teacher takes its step on the labels,
and the student one on its losses, which may compare it with what the teacher said of the same
batch: that is ours. No gradient reaches the teacher, and its draws are those of a training of its
own: it ends with the same weights as without a student beside it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import TensorBoardLogger
from torch import nn

from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.cases import TrainingCase
from KDSegmentationLogic.training.cost import Cost
from KDSegmentationLogic.training.sampling import Batch
from KDSegmentationLogic.training.schedule import Schedule
from KDSegmentationLogic.training.trainer import Trained, Trainer


@dataclass(frozen=True)
class Learner:
    """One of the two: what it is, how it is trained, its seed, and the channels that it sees."""

    member: Member
    schedule: Schedule
    seed: int
    sees: tuple[int, ...] = ()


def train_together(
    teacher: Learner,
    student: Learner,
    training: Sequence[TrainingCase],
    validation: Sequence[TrainingCase],
    checkpoint: Path,
    monitor: Monitor,
    ramp: int = 0,
    fabric: Fabric | None = None,
    logs: Path | None = None,
) -> tuple[Trained, Trained]:
    """Train both to the end, from their checkpoints where there are some.

    Parameters
    ----------
    teacher, student : of equal patch, views, batch, steps and augmentation. The batches are
        drawn by the teacher's seed; the student's own fixes where it starts.
    checkpoint : the student's. The teacher's of the same step lies beside it, is written
        before it, and goes only after the next: no kill can part the two.
    ramp : the weights of the distillation terms rise linearly over so many first steps, in
        which the teacher knows little.
    fabric, logs : as in ``Trainer``; the logs are the student's.

    Returns
    -------
    The teacher and the student, each with its best weights by validation.

    Raises
    ------
    TrainingError : as ``Trainer``; or the teacher's checkpoint is missing.
    """
    cases = training, validation
    leader = _Leader(
        teacher.member,
        teacher.schedule,
        *cases,
        teacher.seed,
        checkpoint,
        fabric=fabric,
        sees=teacher.sees,
    )
    follower = _Follower(
        student.member,
        student.schedule,
        *cases,
        student.seed,
        checkpoint,
        fabric=fabric,
        logs=logs,
        sees=student.sees,
    )
    follower.follow(leader, ramp)
    learnt = follower.run(monitor)
    taught = leader.trained(learnt.cost.peak_memory_gib)
    cost = Cost(
        learnt.cost.seconds - taught.cost.seconds,
        learnt.cost.compute_seconds - taught.cost.compute_seconds,
        learnt.cost.peak_memory_gib,
    )
    return taught, replace(learnt, cost=cost)


class _Leader(Trainer):
    """The teacher: an ordinary trainer that is told when to take a step."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._since: list[dict[str, float]] = []
        self._seen: list[Batch] = []

    def step(self) -> Batch:
        """Take one; the batch it was taken on, with what was said of it before the step."""
        said: list[torch.Tensor] = []

        def listen(_: nn.Module, __: object, logits: torch.Tensor) -> None:
            said.append(torch.softmax(logits.detach().float(), dim=1))

        with self._counted():
            hook = self._network.register_forward_hook(listen)
            try:
                self._since.append(self._train_step())
            finally:
                hook.remove()
            self._step += 1
        return replace(self._seen.pop(), soft=said[0])

    def validate(self) -> None:
        with self._counted():
            self._validate(self._since)
        self._since = []

    def keep(self, file: Path) -> None:
        """Write a checkpoint."""
        self._checkpoint = file
        if self._fabric.is_global_zero:
            self._save_checkpoint()

    def go_on_from(self, file: Path) -> None:
        """Continue from a checkpoint."""
        if not file.is_file():
            raise TrainingError(
                f"The teacher's checkpoint {file} is missing.",
                "Delete the student's beside it to start this training again.",
            )
        self._checkpoint = file
        self._resume()

    def trained(self, peak_memory_gib: float) -> Trained:
        cost = replace(self._cost, peak_memory_gib=peak_memory_gib)
        return Trained(self._best, self._best_dice, self._best_step, tuple(self._history), cost)

    def _next_batch(self) -> Batch:
        batch = super()._next_batch()
        self._seen.append(batch)
        return batch

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        clock, cpu = time.perf_counter(), time.process_time()
        yield
        seconds, busy = time.perf_counter() - clock, time.process_time() - cpu
        share = busy if self._fabric.device.type == "cpu" else seconds
        self._cost = self._cost.plus(Cost(seconds, share * self._fabric.world_size))


class _Follower(Trainer):
    """The student: its batches, and their soft targets, are what the teacher makes."""

    def follow(self, leader: _Leader, ramp: int) -> None:
        self._leader, self._ramp = leader, ramp
        self._full = dict(self._objective.weights)

    def _check(self, training: Sequence[TrainingCase]) -> None:
        """The leader has checked the same cases, and no soft targets are needed."""

    def _next_batch(self) -> Batch:
        share = min(1.0, (self._step + 1) / self._ramp) if self._ramp else 1.0
        for name in self._objective.terms:
            self._objective.weights[name] = share * self._full[name]
        return self._leader.step()

    def _validate(self, since: list[dict[str, float]]) -> None:
        self._leader.validate()
        super()._validate(since)

    def _save(self, board: TensorBoardLogger | None) -> None:
        beside = self._beside()
        self._leader.keep(beside)
        super()._save(board)
        if self._fabric.is_global_zero:
            for older in set(beside.parent.glob("teacher-*.safetensors")) - {beside}:
                older.unlink()

    def _resume(self) -> None:
        super()._resume()
        self._leader.go_on_from(self._beside())

    def _beside(self) -> Path:
        """The teacher's checkpoint of this step."""
        return self._checkpoint.with_name(f"teacher-{self._step}.safetensors")
