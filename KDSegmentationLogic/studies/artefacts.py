"""The folder of a run: one subfolder an arm, written so that a killed run continues."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from KDSegmentationLogic.bundles.decoding import encode
from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.files import atomic_file, write_text
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.studies.definition import Arm, Study
from KDSegmentationLogic.training.trainer import Trained


@dataclass(frozen=True)
class RunFolder:
    """Where the artefacts of one run are."""

    root: Path

    def arm(self, name: str) -> Path:
        return self.root / "arms" / name

    def checkpoint(self, name: str) -> Path:
        return self.arm(name) / "checkpoint.safetensors"

    def weights(self, name: str) -> Path:
        return self.arm(name) / "weights.safetensors"

    def soft_target(self, case: str) -> Path:
        return self.root / "targets" / f"{case}.npz"

    def claim(self, arm: Arm, study: Study) -> None:
        """Note what the arm is made of; refuse to mix it with another.

        Raises
        ------
        UsageError : the folder holds an arm of this name with other settings.
        """
        made_of = json.dumps(
            {"arm": encode(arm), "grid": encode(study.grid), "channels": encode(study.channels)},
            indent=1,
        )
        note = self.arm(arm.name) / "settings.json"
        if note.is_file() and note.read_text("utf-8") != made_of:
            raise UsageError(
                f"{self.arm(arm.name)} holds a training with other settings.",
                "Give another output folder, or delete that one.",
            )
        write_text(note, made_of)

    def save_trained(self, arm: Arm, trained: Trained) -> None:
        facts = {
            "validation_dice": trained.best_dice,
            "best_step": trained.best_step,
            "seconds": round(trained.seconds, 1),
            "threads": torch.get_num_threads(),
            "history": trained.history,
        }
        write_text(self.arm(arm.name) / "training.json", json.dumps(facts, indent=1))
        with atomic_file(self.weights(arm.name)) as path:
            tensors = {k: v.contiguous() for k, v in trained.network.state_dict().items()}
            save_file(tensors, path)

    def is_trained(self, arm: Arm) -> bool:
        return self.weights(arm.name).is_file()

    def facts(self, arm: Arm) -> dict[str, Any]:
        return json.loads((self.arm(arm.name) / "training.json").read_text("utf-8"))

    def network(self, arm: Arm) -> nn.Module:
        network = build_network(arm.architecture, arm.arguments)
        network.load_state_dict(load_file(self.weights(arm.name)))
        return network.eval()

    def save_soft(self, case: str, probabilities: np.ndarray) -> None:
        """Quantised to 1 byte a class and voxel: an error of at most 1/510."""
        with atomic_file(self.soft_target(case)) as path:
            np.savez_compressed(path, soft=np.round(probabilities * 255).astype(np.uint8))

    def load_soft(self, case: str) -> np.ndarray:
        with np.load(self.soft_target(case), allow_pickle=False) as file:
            return file["soft"]
