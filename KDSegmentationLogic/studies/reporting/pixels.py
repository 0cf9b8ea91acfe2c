"""The table of a study that counts pixels: accuracy, mIoU, Dice and Cohen's kappa."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from KDSegmentationLogic.evaluation.confusion import figures_of
from KDSegmentationLogic.evaluation.statistics import Interval, bootstrap_sums
from KDSegmentationLogic.studies.reporting.content import ROLES, Content, Group
from KDSegmentationLogic.studies.reporting.page import Table
from KDSegmentationLogic.studies.reporting.tables import DASH, over_runs

_HEAD = ("accuracy", "mIoU", "Dice", "kappa")


def pixels(content: Content, per_case: bool = False) -> Table | None:
    """A row an arm, in percent, with its gain over the same network alone; None without counts.

    per_case : the mean over cases of each case's figures, instead of those of all pixels.
    """
    split = content.decisive
    groups = [g for g in content.of_role(*ROLES) if _counted(g, split)]
    if not groups:
        return None
    counts = {group.name: _Counts.of(content, group, per_case) for group in groups}
    rows = []
    for group in groups:
        alone = _alone(content, group) if group.role == "student" else None
        own = counts[group.name]
        cells = [over_runs(values, 2) for values in own.of_runs().T.tolist()]
        cells = _with_intervals(cells, bootstrap_sums(own.parts, own.mean))
        gains = [DASH] * len(_HEAD) if alone is None else _gains(own, counts[alone.name])
        # each figure with its gain beside it
        beside = [cell for pair in zip(cells, gains, strict=True) for cell in pair]
        rows.append([group.name, group.role, str(len(group.measured(split))), *beside])
    head = ["arm", "role", "seeds", *(cell for name in _HEAD for cell in (f"{name} (%)", "gain"))]
    over = "each case's own, mean over cases" if per_case else "all pixels of all cases together"
    note = (
        f"From the pixels' confusion matrix: {over}. Background counts as a class; a class that "
        "neither reference nor prediction has is left out, and a case without any structure in "
        "both has no kappa. ± is the standard deviation over seeds. Gain: over the same network "
        "alone, of the same schedule, in percentage points. In brackets: 95 % intervals over "
        "patients (BCa bootstrap); of a gain the same patients are drawn on both sides."
    )
    what = "case by case" if per_case else "all pixels"
    return Table(f"Pixels, {split} cases, {what}", head, rows, note, folded=per_case)


def _counted(group: Group, split: str) -> bool:
    return all(case.confusion for r in group.measured(split) for case in r.results[split].cases)


@dataclass(frozen=True)
class _Counts:
    """What each patient adds to a group's sums: [patients, runs, ...].

    These are confusion matrices [k, k]; with ``per_case`` the sum of the cases' figures and the
    number of cases in which a figure is defined, [2, 4].
    """

    parts: np.ndarray
    per_case: bool

    @classmethod
    def of(cls, content: Content, group: Group, per_case: bool) -> _Counts:
        results = [run.results[content.decisive] for run in group.measured(content.decisive)]
        of_cases = np.array([[case.confusion for case in found.cases] for found in results], float)
        if per_case:
            each = figures_of(of_cases)
            of_cases = np.stack([np.nan_to_num(each), ~np.isnan(each)], axis=-2)
        names = [case.case for case in results[0].cases]
        patients, place = np.unique(
            [content.patients.get(n, n) for n in names], return_inverse=True
        )
        parts = np.zeros((len(patients), len(results), *of_cases.shape[2:]))
        np.add.at(parts, place, of_cases.swapaxes(0, 1))
        return cls(parts, per_case)

    def figures(self, sums: np.ndarray) -> np.ndarray:
        """In percent: of sums [..., runs, ...] each run's, [..., runs, 4]."""
        if not self.per_case:
            return 100 * figures_of(sums)
        return 100 * _ratio(sums[..., 0, :], sums[..., 1, :])

    def of_runs(self) -> np.ndarray:
        return self.figures(self.parts.sum(0))

    def mean(self, sums: np.ndarray) -> np.ndarray:
        """Over the runs in which it is defined: [..., 4]."""
        values = self.figures(sums)
        return _ratio(np.nansum(values, -2), np.sum(~np.isnan(values), -2))


def _ratio(total: np.ndarray, number: np.ndarray) -> np.ndarray:
    """nan of none."""
    with np.errstate(invalid="ignore"):
        return total / number


def _gains(own: _Counts, alone: _Counts) -> list[str]:
    runs = own.parts.shape[1]

    def gain(sums: np.ndarray) -> np.ndarray:
        return own.mean(sums[:, :runs]) - alone.mean(sums[:, runs:])

    both = np.concatenate([own.parts, alone.parts], axis=1)
    found = gain(both.sum(0)[None])[0].tolist()
    return _with_intervals([_text(each, "+") for each in found], bootstrap_sums(both, gain), "+")


def _with_intervals(cells: list[str], intervals: list[Interval], sign: str = "") -> list[str]:
    """Each figure with its interval in brackets, but for those that are undefined."""
    return [
        cell if cell == DASH else f"{cell} ({_text(found.low, sign)} to {_text(found.high, sign)})"
        for cell, found in zip(cells, intervals, strict=True)
    ]


def _alone(content: Content, student: Group) -> Group | None:
    """What a gain is over; of another schedule it would be that of the schedule, too."""
    alike = content.baselines_of(student)
    return next((group for group in alike if group.course == student.course), None)


def _text(value: float, sign: str) -> str:
    return DASH if math.isnan(value) else f"{value:{sign}.2f}".replace("-", "−")
