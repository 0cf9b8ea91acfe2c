"""The folder of a run: every artefact is named by the hash of what made it.

A killed run continues where it was, an unchanged stage is not run twice, and a changed one
never picks up what its former self left. What is hashed is the study's text, not the data
files: after changing those, use a new folder.

    arms/<name>-<hash>/         checkpoint, weights, training.json
    targets-<hash>/<case>.npz   soft targets of the teachers
    bundles-<hash>/<name>/      model bundles
    report-<hash>/              what was measured
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from KDSegmentationLogic.bundles.decoding import encode
from KDSegmentationLogic.bundles.description import Description
from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.files import atomic_file, write_text
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.studies.definition import Arm, Study
from KDSegmentationLogic.training.losses import Objective
from KDSegmentationLogic.training.trainer import Trained


@dataclass(frozen=True)
class RunFolder:
    """Where the artefacts of a study's run are."""

    root: Path
    study: Study

    def arm(self, arm: Arm) -> Path:
        return self.root / "arms" / f"{arm.name}-{self._arm_key(arm)}"

    def checkpoint(self, arm: Arm) -> Path:
        return self.arm(arm) / "checkpoint.safetensors"

    def weights(self, arm: Arm) -> Path:
        return self.arm(arm) / "weights.safetensors"

    def soft_target(self, case: str) -> Path:
        return self.root / f"targets-{self._targets_key()}" / f"{case}.npz"

    def bundle(self, name: str, description: Description, arms: Sequence[Arm]) -> Path:
        made_of = [description, *(self._arm_key(arm) for arm in arms)]
        return self.root / f"bundles-{_hash(made_of)}" / name

    def report(self, name: str) -> Path:
        arms = (*self.study.teachers, *self.study.students)
        made_of = [self.study.labels, self.study.field_of_view, *map(self._arm_key, arms)]
        return self.root / f"report-{_hash(made_of)}" / name

    def _arm_key(self, arm: Arm) -> str:
        study = self.study
        values = [label.value for label in study.labels]
        made_of: list[Any] = [study.dataset, study.channels, study.grid, values, arm]
        if Objective(arm.schedule.losses).needs_teacher:
            made_of.append(self._targets_key())
        return _hash(made_of)

    def _targets_key(self) -> str:
        return _hash([self._arm_key(teacher) for teacher in self.study.teachers])

    def is_trained(self, arm: Arm) -> bool:
        return self.weights(arm).is_file()

    def save_trained(self, arm: Arm, trained: Trained) -> None:
        facts = {
            "validation_dice": trained.best_dice,
            "best_step": trained.best_step,
            "seconds": round(trained.seconds, 1),
            "threads": torch.get_num_threads(),
            "history": trained.history,
            "settings": encode(arm),
        }
        write_text(self.arm(arm) / "training.json", json.dumps(facts, indent=1))
        with atomic_file(self.weights(arm)) as path:
            tensors = {k: v.contiguous() for k, v in trained.network.state_dict().items()}
            save_file(tensors, path)

    def facts(self, arm: Arm) -> dict[str, Any]:
        """What ``save_trained`` noted of the training."""
        return json.loads((self.arm(arm) / "training.json").read_text("utf-8"))

    def network(self, arm: Arm) -> SegmentationNetwork:
        """The trained network of an arm, in evaluation mode.

        Raises
        ------
        TrainingError : its weights are missing or damaged.
        """
        network = build_network(arm.architecture, arm.arguments)
        path = self.weights(arm)
        try:
            network.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise _damaged(path, error) from error
        return network.eval()

    def save_soft(self, case: str, probabilities: np.ndarray) -> None:
        """Quantised to 1 byte a class and voxel: an error of at most 1/510."""
        quantised = np.clip(np.round(probabilities * 255), 0, 255).astype(np.uint8)
        with atomic_file(self.soft_target(case)) as path:
            np.savez_compressed(path, soft=quantised)

    def load_soft(self, case: str) -> np.ndarray:
        """uint8 [k, z, y, x], probabilities times 255.

        Raises
        ------
        TrainingError : the file is missing or damaged.
        """
        path = self.soft_target(case)
        try:
            with np.load(path, allow_pickle=False) as file:
                return file["soft"]
        except Exception as error:  # zipfile, zlib and numpy raise their own kinds
            raise _damaged(path, error) from error


def _hash(made_of: Any) -> str:
    text = json.dumps(encode(made_of, omit_defaults=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _damaged(path: Path, error: Exception) -> TrainingError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return TrainingError(f"{path} cannot be read ({reason}).", "Delete it and run the study again.")
