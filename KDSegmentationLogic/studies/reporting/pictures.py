"""The best, the median and the worst case, as a slice with outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.imaging.geometry import to_orientation
from KDSegmentationLogic.imaging.reading import read_channels, read_labels
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.reporting.content import Content, Run
from KDSegmentationLogic.studies.reporting.drawing import STYLE, as_svg, canvas
from KDSegmentationLogic.studies.reporting.page import Figure
from KDSegmentationLogic.studies.results import ResultStore
from KDSegmentationLogic.training.dataset import CaseFiles

_MARGIN_MM = 12.0


@dataclass(frozen=True)
class _Slice:
    """One plane: grey values, and label maps by title; sizes of a pixel in mm."""

    grey: np.ndarray
    labels: dict[str, np.ndarray]
    aspect: float


def chosen_cases(run: Run, split: str) -> list[tuple[str, str]]:
    """(best, median, worst and the case's name) by the mean Dice of one model."""
    cases = sorted(run.results[split].cases, key=lambda case: case.dice)
    picked = [("best", cases[-1]), ("median", cases[len(cases) // 2]), ("worst", cases[0])]
    return [(what, case.case) for what, case in picked]


def case_pictures(
    content: Content,
    store: ResultStore,
    runs: Sequence[Run],
    cases: Sequence[tuple[str, CaseFiles]],
) -> Figure:
    """A row a case, a column a model: the slice with the most of the reference.

    Parameters
    ----------
    runs : the models, the first being the one that the cases were chosen by.
    cases : (why it was chosen, its files).
    """
    split = content.decisive
    with mpl.rc_context(STYLE):
        figure = canvas(2.6 * (len(runs) + 1), 2.7 * len(cases) + 0.5)
        grid = figure.subplots(len(cases), len(runs) + 1, squeeze=False)
        for row, (why, files) in zip(grid, cases, strict=True):
            shown = _slice(store, split, runs, files)
            row[0].set_ylabel(f"{why}\n{files.name}", fontsize=9)
            _grey(row[0], shown)
            for axes, run in zip(row[1:], runs, strict=True):
                _grey(axes, shown)
                _outlines(axes, shown, run.name, content.study.labels)
                dice = next(c.dice for c in run.results[split].cases if c.case == files.name)
                axes.set_xlabel(f"Dice {dice:.3f}", fontsize=9)
        grid[0][0].set_title("image", fontsize=10)
        for axes, run in zip(grid[0][1:], runs, strict=True):
            axes.set_title(run.name, fontsize=10)
        figure.legend(handles=_legend(content.study.labels), loc="outside lower center", ncols=4)
        svg = as_svg(figure, "cases")
    caption = (
        f"The best, the median and the worst case of {runs[0].name}, in the slice that "
        "holds the most of the reference. Filled: reference; lines: what the model says."
    )
    return Figure("cases", svg, caption)


def _slice(store: ResultStore, split: str, runs: Sequence[Run], files: CaseFiles) -> _Slice:
    assert files.labels is not None
    image = _upright(read_channels(files.images, Monitor())[0])
    reference = _upright(read_labels(files.labels))
    maps = {"": _array(reference)}
    for run in runs:
        maps[run.name] = _array(_upright(store.labels(run.places[split], files.name)))
    z = int((maps[""] > 0).sum((1, 2)).argmax())
    spacing = image.GetSpacing()
    box = _round_structures(maps[""][z], spacing)
    cut = {name: array[z][box] for name, array in maps.items()}
    return _Slice(_array(image)[z][box], cut, spacing[1] / spacing[0])


def _upright(image: sitk.Image) -> sitk.Image:
    """Axial planes as radiologists see them: the face above, the patient's right on the left."""
    return to_orientation(image, "LPS") if image.GetDimension() == 3 else image


def _array(image: sitk.Image) -> np.ndarray:
    """[z, y, x]; a 2-D image has one plane."""
    array = sitk.GetArrayFromImage(image)
    return array if array.ndim == 3 else array[np.newaxis]


def _round_structures(reference: np.ndarray, spacing: Sequence[float]) -> tuple[slice, slice]:
    """The structures' box with a margin; a structure of a few voxels in a large image is seen."""
    rows, columns = np.nonzero(reference)
    if not len(rows):
        return slice(None), slice(None)
    parts = []
    for index, step in ((rows, spacing[1]), (columns, spacing[0])):
        margin = int(np.ceil(max(_MARGIN_MM / step, 0.25 * np.ptp(index))))
        parts.append(slice(max(0, int(index.min()) - margin), int(index.max()) + margin + 1))
    return parts[0], parts[1]


def _grey(axes: Axes, shown: _Slice) -> None:
    low, high = np.percentile(shown.grey, (1, 99.5))
    axes.imshow(shown.grey, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=shown.aspect)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _outlines(axes: Axes, shown: _Slice, model: str, labels: Sequence[Label]) -> None:
    for label in labels:
        colour = _colour(label)
        truth, said = shown.labels[""] == label.value, shown.labels[model] == label.value
        if truth.any():
            axes.contourf(truth, levels=[0.5, 1.5], colors=[colour], alpha=0.35)
        if said.any():
            axes.contour(said, levels=[0.5], colors=[colour], linewidths=1.5)


def _legend(labels: Sequence[Label]) -> list[Line2D]:
    return [Line2D([], [], color=_colour(one), linewidth=3, label=one.name) for one in labels]


def _colour(label: Label) -> tuple[float, float, float]:
    red, green, blue = (part / 255 for part in label.color)
    return red, green, blue
