"""A study as its YAML file states it. It names its data set; the folder comes from outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from KDSegmentationLogic.errors import UsageError
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
        names = [arm.name for arm in (*self.teachers, *self.students)]
        if len(set(names)) != len(names):
            raise ValueError("two arms have the same name")
        for arm in (*self.teachers, *self.students):
            arm.member()
        if not self.teachers:
            raise ValueError("a study needs teachers")
        if any(Objective(arm.schedule.losses).needs_teacher for arm in self.teachers):
            raise ValueError("a teacher cannot be trained with a distillation term")

    def arm(self, name: str) -> Arm:
        """The teacher or student of that name."""
        return next(arm for arm in (*self.teachers, *self.students) if arm.name == name)


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
