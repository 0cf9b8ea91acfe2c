"""The drawings of a report: spread of Dice, reliability, accuracy against time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from KDSegmentationLogic.studies.reporting.comparisons import DICE
from KDSegmentationLogic.studies.reporting.content import ROLES, Content, Group
from KDSegmentationLogic.studies.reporting.drawing import (
    COLOURS,
    MARKERS,
    STYLE,
    as_svg,
    canvas,
    light_grid,
)
from KDSegmentationLogic.studies.reporting.page import INK, Figure

_ENOUGH = 50
_LEGEND_INSIDE = 6  # entries, above which a legend stands beside the curves


def box_plots(content: Content, limit: float) -> Figure:
    """Dice of each case by arm, all seeds side by side; ``limit``: below are outliers."""
    groups = content.of_role(*ROLES)
    with mpl.rc_context(STYLE):
        figure = canvas(8, 0.8 + 0.36 * len(groups))
        axes = figure.add_subplot()
        for place, group in enumerate(groups):
            values = _all_values(content, group)
            colour = COLOURS[group.role]
            axes.boxplot(
                values,
                positions=[place],
                widths=0.6,
                orientation="horizontal",
                whis=(5, 95),
                showfliers=False,
                showmeans=True,
                medianprops={"color": colour, "linewidth": 2},
                boxprops={"color": colour},
                whiskerprops={"color": colour},
                capprops={"color": colour},
                meanprops={"marker": "|", "markeredgecolor": INK, "markersize": 11},
            )
            shift = np.random.default_rng(place).uniform(-0.18, 0.18, len(values))
            axes.plot(values, place + shift, ".", color=colour, alpha=0.45, markersize=4)
        axes.axvline(limit, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(groups)), [_titled(content, group) for group in groups])
        axes.invert_yaxis()
        axes.set_xlabel("Dice of a case, mean over structures")
        light_grid(axes)
        svg = as_svg(figure, "boxes")
    caption = (
        "Dice of each case. Box: quartiles and median; whiskers: 5th and 95th percentile; "
        "black stroke: mean; points: cases, of all seeds. Left of the dashed line results count "
        "as outliers."
    )
    return Figure("dice", svg, caption)


def reliability_diagram(content: Content) -> Figure:
    """Accuracy against confidence, voxels of all cases and seeds pooled."""
    groups = content.of_role(*ROLES)
    lowest = 1 / (len(content.study.labels) + 1)  # the largest of k probabilities is not below
    with mpl.rc_context(STYLE):
        figure = canvas(5.4, 6)
        axes, share = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        axes.plot([lowest, 1], [lowest, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        for group in reversed(groups):
            bins = group.pooled_reliability(content.decisive)
            look: dict[str, Any] = {
                "color": COLOURS[group.role],
                "linestyle": _dashes(groups, group),
            }
            # a bin of a handful of voxels is noise
            enough = [n >= _ENOUGH for n in bins.voxels]
            sure = np.where(enough, bins.confidences, np.nan)
            right = np.where(enough, bins.accuracies, np.nan)
            if group.role == "member":
                first = group is groups[-1]
                title = "members" if first else None
                axes.plot(sure, right, linewidth=0.9, alpha=0.5, label=title, **look)
                continue
            label = group.name
            axes.plot(sure, right, MARKERS[group.role], markersize=4, label=label, **look)
            weights = np.where(enough, np.divide(bins.voxels, sum(bins.voxels)), np.nan)
            share.stairs(100 * weights, np.linspace(0, 1, len(weights) + 1), baseline=None, **look)
        axes.set(ylabel="share of voxels that are right", xlim=(lowest, 1), ylim=(0, 1))
        handles = axes.get_legend_handles_labels()[0][::-1]
        if len(handles) <= _LEGEND_INSIDE:
            axes.legend(handles=handles, loc="upper left")
        else:  # it would hide the curves
            axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0))
        share.set(xlabel="confidence: the largest probability", ylabel="% of voxels")
        share.set_yscale("log")
        share.yaxis.set_major_formatter("{x:g}")
        share.yaxis.set_minor_formatter("")
        light_grid(axes, "both")
        light_grid(share, "both")
        svg = as_svg(figure, "reliability")
    caption = (
        f"Reliability within {content.protocol.foreground_margin:g} {content.unit} of the "
        f"structures, {content.protocol.bins} bins, voxels of all cases and seeds pooled; bins of "
        f"fewer than {_ENOUGH} voxels are left out. Below the diagonal a model is surer than it is "
        "right."
    )
    return Figure("reliability", svg, caption)


def accuracy_against_time(content: Content) -> Figure | None:
    """Mean Dice against the networks' seconds a case; None where nothing was timed."""
    timed = [g for g in content.of_role(*ROLES) if _seconds(content, g)]
    if not timed:
        return None
    dice = {group.name: group.run_means(content.decisive, DICE.of) for group in timed}
    groups = sorted(timed, key=lambda group: -float(np.mean(dice[group.name])))
    with mpl.rc_context(STYLE):
        figure = canvas(8, max(5.0, 0.8 + 0.18 * len(groups)))
        axes = figure.add_subplot()
        key: list[Line2D] = []
        places = []
        for number, group in enumerate(groups, 1):
            runs = dice[group.name]
            seconds = float(np.median(_seconds(content, group)))
            look: dict[str, Any] = {"color": COLOURS[group.role], "markersize": 6}
            marker = MARKERS[group.role]
            axes.plot([seconds] * len(runs), runs, marker, alpha=0.6, **look)
            name = f"{number}  {group.name}"
            key.append(Line2D([], [], marker=marker, linestyle="", label=name, **look))
            places.append((seconds, float(np.mean(runs))))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.margins(x=0.2)
        axes.set(xlabel="seconds of the networks a case (log scale)", ylabel="mean Dice")
        # networks of one kind stand over each other: names would too, numbers find room
        axes.legend(handles=key, loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize=8.5)
        light_grid(axes, "both")
        figure.draw_without_rendering()  # the layout is known from here on
        number_places(axes, places)
        svg = as_svg(figure, "time")
    caption = (
        "Accuracy against time. Each seed of an arm is a mark; the arms are numbered from the "
        "highest mean Dice down."
    )
    return Figure("time", svg, caption)


def number_places(axes: Axes, places: Sequence[tuple[float, float]]) -> None:
    """Write 1, 2, ... right of the places, lower where numbers would lie on each other.

    places : x and y on the axes, whose layout is known, from the highest y down.
    """
    width, height = 16.0, 10.0  # points that a number takes
    to_points = 72 / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    taken: list[tuple[float, float]] = []
    for number, place in enumerate(places, 1):
        x, y = axes.transData.transform(place) * to_points
        free = y
        for other_x, other_y in taken:  # from the highest down
            if abs(x - other_x) < width:
                free = min(free, other_y - height)
        taken.append((x, free))
        axes.annotate(
            str(number),
            place,
            xytext=(8, free - y),
            textcoords="offset points",
            verticalalignment="center",
            fontsize=8.5,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": "#8c8c8c", "linewidth": 0.5},
        )


def _all_values(content: Content, group: Group) -> list[float]:
    runs = group.measured(content.decisive)
    return [case.dice for run in runs for case in run.results[content.decisive].cases]


def _seconds(content: Content, group: Group) -> list[float]:
    return [r.cost.network_seconds for r in group.measured(content.decisive) if r.cost]


def _titled(content: Content, group: Group) -> str:
    runs = len(group.measured(content.decisive))
    return f"{group.name} ({runs} seeds)" if runs > 1 else group.name


def _dashes(groups: Sequence[Group], group: Group) -> str:
    """Groups of one role have one colour and differ by this."""
    alike = [other.name for other in groups if other.role == group.role]
    return ("-", "--", ":", "-.")[alike.index(group.name) % 4] if group.role != "member" else "-"
