"""The folder of a run: every artefact is named by the hash of what made it.

A killed run continues where it was, an unchanged stage is not run twice, and a changed one
never picks up what its former self left. What is hashed is the study's text. Other lists of
cases than at first are refused; changed images are not noticed: use a new folder for them.

    lists-<data set>.json       the cases that train and validate, and whose they are
    arms/<name>-<hash>/         checkpoint, weights, training.json, history.csv, tensorboard
    soft/<ensemble>-<hash>/     soft targets, one file a case
    cases-<hash>/               preprocessed cases
    bundles-<hash>/<name>/      model bundles
    report-<hash>/              what was measured
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from KDSegmentationLogic import __version__
from KDSegmentationLogic.bundles.decoding import encode
from KDSegmentationLogic.bundles.description import Description
from KDSegmentationLogic.bundles.weights import save_tensors
from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.files import write_if_new, write_text
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.studies.damage import damaged, read_json
from KDSegmentationLogic.studies.definition import BEST_MEMBER, Arm, Distils, Study
from KDSegmentationLogic.studies.protocol import Protocol
from KDSegmentationLogic.studies.targets import SoftTargets
from KDSegmentationLogic.training.dataset import Dataset
from KDSegmentationLogic.training.layouts.base import UNLABELLED
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

    def logs(self, arm: Arm) -> Path:
        return self.arm(arm)

    def targets(self, distils: Distils) -> SoftTargets:
        """The soft targets that a student with these settings learns from."""
        return SoftTargets(self.root / "soft" / f"{distils.ensemble}-{self._targets_key(distils)}")

    def bundle(self, name: str, description: Description, arms: Sequence[Arm]) -> Path:
        made_of: list[Any] = [description, *(self._arm_key(arm) for arm in arms)]
        margin = self.study.evaluation.foreground_margin
        if margin != Protocol().foreground_margin:
            made_of.append(margin)  # the temperature is fitted within it
        return self.root / f"bundles-{_hash(made_of)}" / name

    def report(self, name: str) -> Path:
        arms = (*self.study.teacher_runs, *self.study.student_runs)
        made_of = [self.study.labels, self.study.field_of_view, *map(self._arm_key, arms)]
        return self.root / f"report-{_hash(made_of)}" / name

    def _arm_key(self, arm: Arm) -> str:
        study = self.study
        values = [label.value for label in study.labels]
        made_of: list[Any] = [study.dataset, study.channels, study.grid, values, arm]
        if Objective(arm.schedule.losses).needs_teacher or arm.architecture == BEST_MEMBER:
            made_of.append(self._targets_key(study.distilled(arm)))
        if known := study.knows(arm):
            made_of.append(known)  # the arm has the structures' names, the network their numbers
        return _hash(made_of)

    def _targets_key(self, distils: Distils) -> str:
        members = [self._arm_key(member) for member in self.study.teaching(distils)]
        return _hash([members, distils.out_of_fold])

    def resolved(self, arm: Arm) -> Arm:
        """The arm, with the architecture of the best member by validation where it asks for it.

        Raises
        ------
        TrainingError : that is not known before all members are trained.
        """
        if arm.architecture != BEST_MEMBER:
            return arm
        best = self.best(self.trained_members(arm))
        return replace(
            arm,
            architecture=best.architecture,
            arguments=best.arguments,
            patch=best.patch,
            views=best.views,
            whole=best.whole,
            overlap=best.overlap,
            channels=best.channels,
            # a baseline was taught no more than its architecture
            distils=arm.distils if self.study.learns_from(arm) else None,
        )

    def trained_members(self, student: Arm) -> tuple[Arm, ...]:
        """What a student learns from.

        Raises
        ------
        TrainingError : one of them is not trained.
        """
        members = self.study.teaching(self.study.distilled(student))
        for member in members:
            if not self.is_trained(member):
                raise TrainingError(
                    f"{student.name} needs its teachers, but {member.name} is not trained.",
                    "Train the teachers first.",
                )
        return members

    def best(self, arms: Sequence[Arm]) -> Arm:
        """The best of these trained arms by validation, of equal ones the first."""
        return max(arms, key=lambda arm: self.facts(arm)["validation_dice"])

    def keep_study(self, study_file: Path) -> None:
        """A copy of the study's text beside what it makes, for the report."""
        write_if_new(self.root / "study.yaml", study_file.read_text("utf-8"))

    def keep_lists(self, dataset: Dataset) -> None:
        """Note the cases that train and validate here, and whose images they are.

        Raises
        ------
        TrainingError : they were others before: what is here may have been trained on cases
            that are now to be tested on.
        """
        path = self.root / f"lists-{dataset.name}.json"
        lists = {
            split: {case: dataset.groups.get(case, case) for case in dataset.splits.get(split, ())}
            for split in ("train", "val", UNLABELLED)
        }
        text = json.dumps(lists, indent=1)
        if path.is_file() and path.read_text("utf-8") != text:
            raise TrainingError(
                f"The lists of {dataset.name} are not those that {self.root} was begun with.",
                "Restore splits.json, or run the study in a new folder.",
            )
        write_if_new(path, text)

    def is_trained(self, arm: Arm) -> bool:
        return self.weights(arm).is_file()

    def save_trained(self, arm: Arm, trained: Trained, precision: str = "32-true") -> None:
        """Keep the weights, and what is known of how they came about."""
        facts = {
            "validation_dice": trained.best_dice,
            "best_step": trained.best_step,
            "cost": trained.cost.rounded(),
            "threads": torch.get_num_threads(),
            "precision": precision,
            "versions": [f"KDSegmentation {__version__}", f"torch {torch.__version__}"],
            "history": trained.history,
            "settings": encode(arm),
        }
        write_text(self.arm(arm) / "training.json", json.dumps(facts, indent=1))
        save_tensors(self.weights(arm), trained.network.state_dict())

    def facts(self, arm: Arm) -> dict[str, Any]:
        """What ``save_trained`` noted of the training."""
        return read_json(self.arm(arm) / "training.json")

    def network(self, arm: Arm) -> SegmentationNetwork:
        """The trained network of an arm, in evaluation mode.

        Raises
        ------
        TrainingError : its weights are missing or damaged.
        """
        like = self.resolved(arm)
        network = build_network(like.architecture, like.arguments)
        path = self.weights(arm)  # the folder is the arm's as the study states it
        try:
            network.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise damaged(path, error) from error
        return network.eval()


def _hash(made_of: Any) -> str:
    text = json.dumps(encode(made_of, omit_defaults=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
