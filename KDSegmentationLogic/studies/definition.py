"""A study as its YAML file states it. It names its data set; the folder comes from outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from KDSegmentationLogic.bundles.decoding import DecodingError, decode
from KDSegmentationLogic.bundles.description import (
    Channel,
    Expectation,
    FieldOfView,
    Grid,
    Label,
    Member,
    View,
)
from KDSegmentationLogic.errors import BundleError, TrainingError, UsageError
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.training.losses import Objective
from KDSegmentationLogic.training.trainer import Schedule


@dataclass(frozen=True)
class Arm:
    """One network to train. Fields as in ``Member`` and ``Schedule``."""

    name: str
    architecture: str
    arguments: dict[str, Any]
    patch: tuple[int, ...]
    schedule: Schedule
    seed: int
    views: tuple[View, ...] = ()
    whole: bool = True
    overlap: float = 0.5

    def __post_init__(self) -> None:
        # now, and not after the hours that the arms before it train
        _require(self.seed >= 0, "a seed must not be below zero")
        try:
            Objective(self.schedule.losses)
            with torch.device("meta"):
                network = build_network(self.architecture, self.arguments)
        except (TrainingError, BundleError) as error:
            raise ValueError(str(error).rstrip(".")) from None
        dimensions = self.member().dimensions
        _require(network.dimensions == dimensions, f"{self.architecture} is not {dimensions}-D")
        _require(
            all(size % d == 0 for size, d in zip(self.patch, network.divisor, strict=True)),
            f"the patch's sizes must be multiples of {network.divisor}",
        )

    def member(self, sha256: str = "0" * 64) -> Member:
        """How the network is run; the checksum is known once the weights are written."""
        return Member(
            architecture=self.architecture,
            arguments=dict(self.arguments),
            weights=f"models/{self.name}.safetensors",
            sha256=sha256,
            patch=self.patch,
            whole=self.whole,
            overlap=self.overlap,
            views=self.views,
        )


@dataclass(frozen=True)
class BundleText:
    """What the bundles say in words. ``name``: the bundles are ``<name>-ensemble`` and so on."""

    name: str
    title: str
    summary: str
    expects: Expectation
    licence: str
    citation: str
    training_data: str


@dataclass(frozen=True)
class Study:
    """The whole file."""

    dataset: str
    channels: tuple[Channel, ...]
    grid: Grid
    labels: tuple[Label, ...]
    field_of_view: FieldOfView
    teachers: tuple[Arm, ...]
    students: tuple[Arm, ...]
    bundle: BundleText

    def __post_init__(self) -> None:
        arms = (*self.teachers, *self.students)
        # folders and files are named after the arms, and Windows does not tell A from a
        _require(len({arm.name.casefold() for arm in arms}) == len(arms), "two arms have one name")
        _require(bool(self.teachers), "a study needs teachers")
        _require(bool(self.channels) and bool(self.labels), "a study needs channels and labels")
        _require(
            not any(Objective(arm.schedule.losses).needs_teacher for arm in self.teachers),
            "a teacher cannot be trained with a distillation term",
        )
        for what in ("value", "name"):
            values = {getattr(label, what) for label in self.labels}
            _require(len(values) == len(self.labels), f"two labels have the same {what}")
        sizes = {"in_channels": len(self.channels), "classes": len(self.labels) + 1}
        for arm in arms:
            for key, size in sizes.items():
                found = arm.arguments[key]
                _require(found == size, f"the study needs {key} {size}, {arm.name} has {found}")
            flat = len(arm.patch) <= self.grid.dimensions
            _require(flat, f"{arm.name} is a 3-D network on a 2-D grid")

    def arm(self, name: str) -> Arm:
        """The teacher or student of that name."""
        return next(arm for arm in (*self.teachers, *self.students) if arm.name == name)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def read_study(path: Path) -> Study:
    """Read a study file.

    Raises
    ------
    UsageError : missing, not YAML, or with an entry that does not fit.
    """
    if not path.is_file():
        raise UsageError(f"The study file {path} does not exist.", "Check the path.")
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {error}.", "Correct the file.") from None
    try:
        return decode(Study, content, "study")
    except DecodingError as error:
        raise UsageError(f"{path}: {error}.", "Correct this entry.") from None
