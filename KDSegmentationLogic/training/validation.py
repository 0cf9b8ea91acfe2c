"""Dice on validation cases, predicted by the same code as everywhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine
from KDSegmentationLogic.inference.predict import Runner, plan_passes, predict
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.cases import TrainingCase

_BUDGET_BYTES = 2e9


def case_probabilities(
    image: np.ndarray, runners: Sequence[Runner], monitor: Monitor | None = None
) -> np.ndarray:
    """Mean probabilities of all runners on one prepared case: float32 [k, z, y, x]."""
    shape = image.shape[1:]
    passes = plan_passes(runners, shape, _BUDGET_BYTES)
    blocks = predict(image, passes, monitor or Monitor())
    return np.concatenate([block.mean for block in blocks], axis=1)


def mean_dice(
    network: nn.Module, member: Member, cases: Sequence[TrainingCase], sees: Sequence[int] = ()
) -> float:
    """Mean over cases and classes of the Dice on the network's grid; both empty counts 1.

    sees : the channels of the cases that the network takes; empty: all.
    """
    was_training = network.training
    runner = Runner(member, TorchEngine(network, member.temperature, _device_of(network)))
    scores = []
    for case in cases:
        predicted = case_probabilities(case.seen_by(sees), [runner]).argmax(0)
        for k in range(1, runner.engine.classes):
            scores.append(_dice(predicted == k, case.labels == k))
    network.train(was_training)
    return float(np.mean(scores))


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    size = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / size if size else 1.0


def _device_of(network: nn.Module) -> str:
    return next(network.parameters()).device.type
