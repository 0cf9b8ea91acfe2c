"""What every layout is read into: a data set as a list of cases with their patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class CaseFiles:
    """One case: its name, one image a channel, and its labels where there are any.

    A single image may hold all channels as its fourth axis, as the Decathlon stores them.

    chosen : numbers of the channels that are used; empty: all.
    """

    name: str
    images: tuple[Path, ...]
    labels: Path | None
    chosen: tuple[int, ...] = ()


@dataclass(frozen=True)
class About:
    """What the data set says of itself; empty where it says nothing."""

    title: str = ""
    description: str = ""
    reference: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Dataset:
    """A data set on disk.

    labels : value to name, without background.
    splits : names of the cases under train, val, test and unlabelled.
    groups : each case's patient; cases of one patient are never parted.
    dimensions : of the image files, 2 or 3.
    drawn : the lists that no file fixed and that were drawn here.
    """

    name: str
    folder: Path
    channels: tuple[str, ...]
    labels: dict[int, str]
    cases: dict[str, CaseFiles]
    splits: dict[str, tuple[str, ...]]
    groups: dict[str, str] = field(default_factory=dict)
    dimensions: int = 3
    about: About = field(default_factory=About)
    drawn: tuple[str, ...] = ()

    def split(self, name: str) -> list[CaseFiles]:
        """The cases of "train", "val", "test" or "unlabelled"."""
        return [self.cases[case] for case in self.splits.get(name, ())]

    def groups_of(self, split: str) -> dict[str, str]:
        """Case to patient, for the cases of one list."""
        return {case: self.groups.get(case, case) for case in self.splits.get(split, ())}


@dataclass(frozen=True)
class Layout:
    """A layout: how it is recognised, by files alone, and read.

    sign : what the folder needs for it, as the end of a sentence.
    """

    name: str
    sign: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path], Dataset]
