"""How a study's arms are measured and compared; stated in every report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.evaluation.calibration import BINS
from KDSegmentationLogic.evaluation.metrics import TOLERANCE
from KDSegmentationLogic.evaluation.statistics import MARGIN


@dataclass(frozen=True)
class Region:
    """Several labels, by their values, that are measured as one structure."""

    name: str
    labels: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.labels:
            raise ValueError(f"the region {self.name} has no label")


@dataclass(frozen=True)
class Protocol:
    """Decided before the results are seen.

    surface_tolerance : of the surface Dice; mm, for pictures without a length px.
    foreground_margin : calibration and uncertainty are looked at within this distance (mm or
        px) of the reference's structures.
    bins : of the confidence, from 0 to 1, for the calibration error.
    margin : how much Dice a non-inferior student may lack.
    timed_cases : so many cases are timed; the median counts.
    regions : unions of labels that are measured in place of the labels (of a tumour: all of it,
        its core); calibration and pixels stay those of the labels.
    pixels : also count the pixels' confusion matrix, for accuracy, mIoU, Dice and kappa.

    Raises
    ------
    ValueError : a value out of its range.
    """

    surface_tolerance: float = TOLERANCE
    foreground_margin: float = 5.0
    bins: int = BINS
    margin: float = MARGIN
    timed_cases: int = 5
    pixels: bool = False
    regions: tuple[Region, ...] = ()

    def __post_init__(self) -> None:
        for name in ("surface_tolerance", "foreground_margin", "margin"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below zero")
        if self.margin > 0.1:
            raise ValueError("margin is a difference of Dice, 0.1 at most: 0.005 is half a point")
        if self.bins < 2 or self.timed_cases < 1:
            raise ValueError("bins must be 2 or more and timed_cases 1 or more")
        if len({region.name for region in self.regions}) < len(self.regions):
            raise ValueError("two regions have one name")

    def names(self, labels: Sequence[Label]) -> tuple[str, ...]:
        """What is measured, by name: the regions, or else the labels."""
        return tuple(entry.name for entry in self.regions or labels)
