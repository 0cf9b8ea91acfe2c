"""A made task that is learned in seconds: bright balls in noise, and trainings on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from KDSegmentationLogic.bundles.description import NO_SUM, Member
from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine
from KDSegmentationLogic.inference.predict import Runner
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.augmentation import Augmentation
from KDSegmentationLogic.training.cases import TrainingCase
from KDSegmentationLogic.training.quantised import encode_probabilities
from KDSegmentationLogic.training.schedule import Schedule
from KDSegmentationLogic.training.trainer import Trained, Trainer

STILL = Augmentation(rotation_deg=0, scale=0, shift=0, noise=0, contrast=0, gamma=0)


def cases(count: int, seed: int = 0, size: int = 16) -> list[TrainingCase]:
    """Cases of one ball each: intensity about 2 in noise of deviation 0.5, label 1."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        centre, radius = random.uniform(size / 3, 2 * size / 3, 3), random.uniform(3, 5)
        distance = np.linalg.norm(np.indices((size,) * 3).T - centre, axis=-1).T
        labels = (distance < radius).astype(np.uint8)
        image = 2 * labels + random.normal(0, 0.5, labels.shape)
        made.append(TrainingCase(f"ball{seed}-{number}", image[np.newaxis].astype("f4"), labels))
    return made


def with_soft(made: list[TrainingCase], certainty: float = 0.9) -> list[TrainingCase]:
    """The cases with a teacher that is right, with this probability."""
    result = []
    for case in made:
        ball = np.where(case.labels == 1, certainty, 1 - certainty)
        soft = encode_probabilities(np.stack([1 - ball, ball]))
        result.append(case.with_soft(soft))
    return result


def member(dimensions: int = 3, **changes: Any) -> Member:
    """A small student without or, in 2-D, with all three views."""
    arguments = {"in_channels": 1, "classes": 2, "dimensions": dimensions, "widths": [8, 16]}
    settings: dict[str, Any] = {
        "architecture": "student_unet",
        "arguments": arguments,
        "weights": "models/model.safetensors",
        "sha256": NO_SUM,
        "patch": (16,) * dimensions,
        "views": ("axial", "coronal", "sagittal") if dimensions == 2 else (),
    }
    return Member(**{**settings, **changes})


def runner(network: nn.Module, dimensions: int = 3) -> Runner:
    return Runner(member(dimensions), TorchEngine(network))


def schedule(steps: int, **changes: Any) -> Schedule:
    settings: dict[str, Any] = {
        "losses": {"dice": 1.0},
        "batch": 4,
        "learning_rate": 1e-2,
        "warmup": 5,
        "averaging": 0.9,
        "validate_every": 10,
    }
    return Schedule(steps, **{**settings, **changes})


def train(
    checkpoint: Path,
    how: Schedule,
    monitor: Monitor | None = None,
    seed: int = 7,
    training: list[TrainingCase] | None = None,
    network: Member | None = None,
) -> Trained:
    """A training on four balls, validated on two others."""
    trainer = Trainer(
        network or member(), how, training or cases(4), cases(2, seed=1), seed, checkpoint
    )
    return trainer.run(monitor or Monitor())
