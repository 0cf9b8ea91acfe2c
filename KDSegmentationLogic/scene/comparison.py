"""One picture of student and ensemble beside each other, and of where they differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
import slicer

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.errors import DependencyError
from KDSegmentationLogic.evaluation.structures import compare_labels
from KDSegmentationLogic.files import atomic_file
from KDSegmentationLogic.scene import segmentations, volumes
from KDSegmentationLogic.scene.compared import DIFFERENCE_COLOR
from KDSegmentationLogic.scene.rendering import (
    Orientation,
    Shown,
    render_3d,
    render_slice,
    surfaces,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _FAINT, _PAPER = "#e8e8ea", "#98989f", "#121214"

# Pixels. Panels are wider than high, as structures in a head mostly are.
_PANEL = (440, 340)
_GAP, _MARGIN, _HEADER, _FOOTER = 12, 28, 104, 56

# Letters of the structures' Dice; more would run over the column's edge.
_WIDEST_NAMES = 40

# Horizontal and vertical axis of a slice in RAS, and the letters at its left and top edge.
_PLANES: dict[Orientation, tuple[int, int, int, str, str]] = {
    "Axial": (0, 1, 2, "R", "A"),
    "Coronal": (0, 2, 1, "R", "S"),
    "Sagittal": (1, 2, 0, "A", "S"),
}


@dataclass(frozen=True)
class Result:
    """One model's segmentation and what was measured of it.

    ``title`` names the model; ``seconds`` is its time; ``dice`` holds, for each structure by
    name, the agreement with a reference, where there is one.
    """

    segmentation: slicer.vtkMRMLSegmentationNode
    title: str
    seconds: float | None = None
    dice: Mapping[str, float] = field(default_factory=dict)


def side_by_side(
    volume: slicer.vtkMRMLScalarVolumeNode,
    student: Result,
    ensemble: Result,
    path: Path,
    orientations: Sequence[Orientation] = ("Axial", "Sagittal"),
) -> None:
    """Write a PNG: columns student, ensemble, difference; rows slices, then surfaces.

    Every row shows one place at one scale: the slice that holds most of the structures.

    Raises
    ------
    DependencyError : there is no OpenGL (see ``rendering.can_render``) or no Matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise DependencyError(
            "The comparison picture needs Matplotlib, which is not installed.",
            "Install it with: pip install matplotlib",
        ) from None
    width = 2 * _MARGIN + 3 * _PANEL[0] + 2 * _GAP
    rows = len(orientations) + 1
    height = _HEADER + rows * (_PANEL[1] + _GAP) + _FOOTER
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    mask = segmentations.disagreement(student.segmentation, ensemble.segmentation, volume)
    marked = segmentations.segmentation_from_labels(
        mask, [Label(1, "difference", DIFFERENCE_COLOR)], volume, "difference"
    )
    # Smoothed, surfaces of single voxels shrink to nothing.
    marked.GetSegmentation().SetConversionParameter("Smoothing factor", "0.0")
    try:
        _draw(figure, volume, (student, ensemble), marked, orientations)
    finally:
        slicer.mrmlScene.RemoveNode(marked)
    _write_titles(figure, (student, ensemble), mask, volume)
    _write_legend(figure, student.segmentation)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, facecolor=_PAPER)


def _draw(
    figure: Figure,
    volume: slicer.vtkMRMLScalarVolumeNode,
    results: tuple[Result, Result],
    marked: slicer.vtkMRMLSegmentationNode,
    orientations: Sequence[Orientation],
) -> None:
    student, ensemble = (result.segmentation for result in results)
    place = _place_in_world((student, ensemble), volume)
    columns = [
        [Shown(student, fill=0.2)],
        [Shown(ensemble, fill=0.2)],
        [Shown(ensemble, outline=0.55, thickness=1, surface=0.3), Shown(marked, fill=0.8)],
    ]
    for row, orientation in enumerate(orientations):
        centre, width = _frame(place, orientation)
        for column, shown in enumerate(columns):
            picture = render_slice(volume, shown, centre, orientation, width, _PANEL)
            axes = _panel(figure, row, column, picture)
            if column == 0:
                _annotate(axes, orientation, centre, width)
    centre = (place.low + place.high) / 2
    width = 1.05 * float(np.linalg.norm(place.high - place.low))
    with surfaces((student, ensemble, marked)):
        for column, shown in enumerate(columns):
            picture = render_3d(shown, centre, width, size=_PANEL)
            _panel(figure, len(orientations), column, picture)


@dataclass
class _Place:
    """A box of voxels in the world (RAS mm); along each axis, voxels by whole millimetres."""

    low: np.ndarray
    high: np.ndarray
    counts: tuple[Counter[float], Counter[float], Counter[float]]


def _place_in_world(
    nodes: Sequence[slicer.vtkMRMLSegmentationNode], volume: slicer.vtkMRMLScalarVolumeNode
) -> _Place:
    """Where all voxels are that a structure has; where the volume is, if none has."""
    labels = [segmentations.labels_from_segmentation(node, volume)[0] for node in nodes]
    matrix = volumes.parent_to_world(volume) @ volumes.ijk_to_ras(volume)
    axes, origin = matrix[:3, :3].T, matrix[:3, 3]
    place = _Place(np.full(3, np.inf), np.full(3, -np.inf), (Counter(), Counter(), Counter()))
    # Plane by plane: the coordinates of a large CT's voxels would take gigabytes.
    planes = zip(*(sitk.GetArrayViewFromImage(image) for image in labels), strict=True)
    for k, plane in enumerate(planes):
        j, i = np.nonzero(np.any(plane, axis=0))
        if len(i):
            _widen(place, np.stack([i, j, np.full_like(i, k)], axis=1) @ axes + origin)
    if not any(place.counts):
        ends = [(0, size - 1) for size in labels[0].GetSize()]
        corners = np.array(list(product(*ends))) @ axes + origin
        place.low, place.high = corners.min(axis=0), corners.max(axis=0)
    return place


def _widen(place: _Place, points: np.ndarray) -> None:
    place.low = np.minimum(place.low, points.min(axis=0))
    place.high = np.maximum(place.high, points.max(axis=0))
    for axis, counts in enumerate(place.counts):
        values, numbers = np.unique(np.round(points[:, axis]), return_counts=True)
        counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))


def _frame(place: _Place, orientation: Orientation) -> tuple[np.ndarray, float]:
    """Centre and width (mm) of the slice that cuts most of the voxels, all of them in view."""
    across, up, through, *_ = _PLANES[orientation]
    centre = (place.low + place.high) / 2
    counts = place.counts[through]
    if counts:
        centre[through] = max(sorted(counts), key=counts.__getitem__)
    extent = place.high - place.low
    return centre, 1.3 * max(extent[across], extent[up] * _PANEL[0] / _PANEL[1], 10.0)


def _panel(figure: Figure, row: int, column: int, picture: np.ndarray) -> Axes:
    width, height = figure.get_size_inches() * figure.dpi
    left = _MARGIN + column * (_PANEL[0] + _GAP)
    top = _HEADER + row * (_PANEL[1] + _GAP)
    box = (left / width, 1 - (top + _PANEL[1]) / height, _PANEL[0] / width, _PANEL[1] / height)
    axes = figure.add_axes(box)
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return axes


def _annotate(axes: Axes, orientation: Orientation, centre: np.ndarray, width: float) -> None:
    """Which slice this is, the sides, and a bar of a round length."""
    from matplotlib.patheffects import withStroke

    _, _, through, left, top = _PLANES[orientation]
    right, bottom = _PANEL
    side = ("RL", "AP", "SI")[through][0 if centre[through] >= 0 else 1]
    # A dark rim keeps text readable on bright tissue.
    rim = [withStroke(linewidth=2.5, foreground=_PAPER)]
    style: dict[str, Any] = {"color": _INK, "fontsize": 9, "path_effects": rim}
    place = f"{orientation}  {side} {abs(centre[through]):.0f} mm"
    axes.text(12, 14, place, va="top", **style)
    axes.text(8, bottom / 2, left, va="center", **style)
    axes.text(right / 2, 14, top, ha="center", va="top", **style)
    length = max(step for step in (1, 2, 5, 10, 20, 50) if step <= max(width / 4, 1))
    pixels = length / width * right
    axes.plot([12, 12 + pixels], [bottom - 14] * 2, color=_INK, linewidth=1.5, path_effects=rim)
    axes.text(12 + pixels + 8, bottom - 14, f"{length} mm", va="center", **style)
    axes.set(xlim=(-0.5, right - 0.5), ylim=(bottom - 0.5, -0.5))


def _write_titles(
    figure: Figure,
    results: tuple[Result, Result],
    mask: sitk.Image,
    volume: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    texts = [(result.title, _facts(result.seconds, result.dice)) for result in results]
    found = [segmentations.labels_from_segmentation(r.segmentation, volume) for r in results]
    agreement = compare_labels(found[0][0], found[1][0], found[1][1], unit="mm")
    differing = sitk.GetArrayViewFromImage(mask).sum() * np.prod(mask.GetSpacing()) / 1000
    between = _facts(None, {structure.name: structure.dice for structure in agreement})
    texts.append(("Where they differ", [f"{differing:.2f} mL", *(f"mutual {f}" for f in between)]))
    width, height = figure.get_size_inches() * figure.dpi
    for column, (title, facts) in enumerate(texts):
        x = (_MARGIN + column * (_PANEL[0] + _GAP)) / width
        figure.text(x, 1 - 42 / height, title, color=_INK, fontsize=15)
        figure.text(x, 1 - 82 / height, "  \u00b7  ".join(facts), color=_FAINT, fontsize=10.5)


def _facts(seconds: float | None, dice: Mapping[str, float]) -> list[str]:
    facts = [] if seconds is None else [f"{seconds:.1f} s"]
    if not dice:
        return facts
    named = ", ".join(f"{name} {value:.3f}" for name, value in dice.items())
    if len(named) > _WIDEST_NAMES:
        mean = np.nanmean(list(dice.values()))
        named = f"{mean:.3f}, mean of {len(dice)} structures"
    return [*facts, f"Dice {named}"]


def _write_legend(figure: Figure, node: slicer.vtkMRMLSegmentationNode) -> None:
    from matplotlib.patches import Patch

    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments())]
    patches = [Patch(color=segment.GetColor(), label=segment.GetName()) for segment in segments]
    red, green, blue = (channel / 255 for channel in DIFFERENCE_COLOR)
    patches.append(Patch(color=(red, green, blue), label="difference"))
    figure.legend(
        handles=patches,
        loc="lower center",
        ncols=math.ceil(len(patches) / math.ceil(len(patches) / 8)),
        frameon=False,
        labelcolor=_INK,
        fontsize=10.5,
        handlelength=1.0,
        handleheight=1.0,
    )
