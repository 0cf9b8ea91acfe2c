"""The table of a study that counts pixels: accuracy, mIoU, Dice and Cohen's kappa."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple

import numpy as np

from KDSegmentationLogic.evaluation.confusion import pixel_figures
from KDSegmentationLogic.studies.reporting.content import ROLES, Content, Group, Run, nanmean
from KDSegmentationLogic.studies.reporting.page import Table
from KDSegmentationLogic.studies.reporting.tables import number, over_runs

_HEAD = ("accuracy", "mIoU", "Dice", "kappa")


def pixels(content: Content, per_case: bool = False) -> Table | None:
    """A row an arm, in percent, with its gain over the same network alone; None without counts.

    per_case : the mean over cases of each case's figures, instead of those of all pixels.
    """
    split = content.decisive
    groups = [g for g in content.of_role(*ROLES) if _counted(g, split)]
    if not groups:
        return None
    found = {group.name: _figures(group, split, per_case) for group in groups}
    rows = []
    for group in groups:
        alone = next((b for b in groups if _is_baseline_of(b, group)), None)
        cells = [group.name, group.role, str(len(group.measured(split)))]
        for index in range(len(_HEAD)):
            values = found[group.name][:, index]
            cells.append(over_runs(list(values), 2))
            if alone is not None:
                gain = nanmean(values) - nanmean(found[alone.name][:, index])
                cells.append(_signed(gain))
            else:
                cells.append(number(math.nan, 2))
        rows.append(cells)
    head = ["arm", "role", "seeds", *(cell for name in _HEAD for cell in (f"{name} (%)", "gain"))]
    over = "each case's own, mean over cases" if per_case else "all pixels of all cases together"
    note = (
        f"From the pixels' confusion matrix: {over}. Background counts as a class; a class that "
        "neither reference nor prediction has is left out, and a case without any structure in "
        "both has no kappa. ± is the standard deviation over seeds. Gain: over the same network "
        "alone, in percentage points."
    )
    what = "case by case" if per_case else "all pixels"
    return Table(f"Pixels, {split} cases, {what}", head, rows, note, folded=per_case)


def _counted(group: Group, split: str) -> bool:
    return all(case.confusion for r in group.measured(split) for case in r.results[split].cases)


def _figures(group: Group, split: str, per_case: bool) -> np.ndarray:
    """In percent: [runs, 4]."""
    return 100 * np.array([_of_run(run, split, per_case) for run in group.measured(split)])


def _of_run(run: Run, split: str, per_case: bool) -> Sequence[float]:
    matrices = [np.array(case.confusion) for case in run.results[split].cases]
    if not per_case:
        return astuple(pixel_figures(sum(matrices, np.zeros_like(matrices[0]))))
    each = [astuple(pixel_figures(matrix)) for matrix in matrices]
    return [nanmean(values) for values in zip(*each, strict=True)]


def _is_baseline_of(baseline: Group, group: Group) -> bool:
    same = baseline.network == group.network and not baseline.folds
    return baseline.role == "baseline" and group.role == "student" and same


def _signed(value: float) -> str:
    return number(value, 2) if math.isnan(value) else f"{value:+.2f}".replace("-", "−")
