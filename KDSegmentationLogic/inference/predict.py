"""From the prepared array to scores: members, views, windows, mean and deviation.

Scores are the mean of the members' probabilities on the network's grid. Of a single 3-D network
they may also be its logits, at the lower resolution at which a student computes them: an eighth
of the memory, no softmax over the volume, and interpolated once instead of twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from KDSegmentationLogic.bundles.description import Member, View
from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.inference.engines.base import Engine
from KDSegmentationLogic.inference.engines.head import Head
from KDSegmentationLogic.inference.restore import Planes, ScoreGrid
from KDSegmentationLogic.inference.windows import (
    PLANES_AT_ONCE,
    Block,
    Shape,
    Tiling,
    axis_windows,
    lockstep,
    stream,
)
from KDSegmentationLogic.progress import Monitor

SLICE_AXIS: dict[View, int] = {"axial": 0, "coronal": 1, "sagittal": 2}
HALVINGS = 2  # a quarter of a patch along each axis; below, a network sees too little
_SLICES_AT_ONCE = 8
# probabilities take the interpolated logits and, with several threads, a copy of them
_SOFTMAX_BYTES = 2 * 4


@dataclass(frozen=True)
class Runner:
    """A member and the engine that runs it."""

    member: Member
    engine: Engine


@dataclass(frozen=True)
class Plan:
    """One pass over the volume: a member, the axis of its slices (None: 3-D), its windows.

    tiling : over the scores, of which one voxel stands for ``stride`` of the network's grid.
    bytes_needed : estimated, with what waits of the other passes meanwhile.
    logits : the scores are logits, not probabilities.
    """

    runner: Runner
    slice_axis: int | None
    tiling: Tiling
    bytes_needed: float
    stride: Shape = (1, 1, 1)
    logits: bool = False


def plan_passes(
    runners: Sequence[Runner],
    shape: Shape,
    budget_bytes: float,
    shrink: int = 0,
    logits: bool = False,
) -> list[list[Plan]]:
    """The passes of each member over a volume [z, y, x].

    A member that may see the whole image does so where its forward fits ``budget_bytes``;
    otherwise windows of its patch size, or halves of it, the smallest even where they do not
    fit. ``shrink`` (0 to ``HALVINGS`` + 1) rules out the largest of these after an engine ran
    out of memory. ``logits``: for their scores, where ``gives_logits``.
    """
    together = sum(len(_slice_axes(runner.member)) for runner in runners)
    logits = logits and gives_logits(runners)
    return [
        [
            _plan(runner, shape, axis, budget_bytes, shrink, together, logits)
            for axis in _slice_axes(runner.member)
        ]
        for runner in runners
    ]


def gives_logits(runners: Sequence[Runner]) -> bool:
    """Whether nothing has to be averaged: one member, and that 3-D."""
    return len(runners) == 1 and _slice_axes(runners[0].member) == (None,)


def score_grid(passes: list[list[Plan]]) -> ScoreGrid:
    """Where the scores of ``predict`` lie on the network's grid, and what they are."""
    plan = passes[0][0]
    return ScoreGrid(plan.stride, plan.runner.member.temperature if plan.logits else None)


def predict(
    array: np.ndarray, passes: list[list[Plan]], monitor: Monitor, deviation: bool = False
) -> Iterator[Planes]:
    """The scores of all members together, plane by plane in ascending order.

    Parameters
    ----------
    array : float32 [c, z, y, x].
    passes : of ``plan_passes``; a member's passes (views) are averaged first.
    deviation : also the standard deviation over members, per class. One alone has none, but for
        what the second head of a 3-D network says of those that taught it.
    """
    total = sum(plan.tiling.count for plans in passes for plan in plans)
    count = _Counter(total, monitor)
    # several passes wait for each other: running ahead would hold all of their windows at once
    streams = [
        _run(array, p, monitor, count, deviation, total > 1 and len(passes) == len(plans) == 1)
        for plans in passes
        for p in plans
    ]
    for start, blocks in lockstep(streams):
        members, position = [], 0
        for plans in passes:
            members.append(_mean(blocks[position : position + len(plans)]))
            position += len(plans)
        mean = _mean(members)
        spread = _deviation(members, mean) if deviation and len(members) > 1 else None
        classes = passes[0][0].runner.engine.classes
        if len(mean) > classes:
            mean, spread = mean[:classes], mean[classes:]
        yield Planes(start, mean, spread)


def pad_to_multiple(array: np.ndarray, divisor: Sequence[int]) -> np.ndarray:
    """Pad the last axes at their ends to multiples of ``divisor``, by repeating the edge.

    An edge of zeros would be a structure of its own; training pads in the same way.
    """
    spatial = array.shape[-len(divisor) :]
    missing = [(-size) % d for size, d in zip(spatial, divisor, strict=True)]
    if not any(missing):
        return array
    widths = [(0, 0)] * (array.ndim - len(divisor)) + [(0, m) for m in missing]
    return np.pad(array, widths, mode="edge")


class _Counter:
    def __init__(self, total: int, monitor: Monitor) -> None:
        self._total, self._done, self._monitor = total, 0, monitor

    def step(self) -> None:
        self._done += 1
        self._monitor.report(self._done / self._total, f"window {self._done} of {self._total}")


def _slice_axes(member: Member) -> tuple[int | None, ...]:
    return tuple(SLICE_AXIS[view] for view in member.views) or (None,)


def _plan(
    runner: Runner,
    shape: Shape,
    slice_axis: int | None,
    budget_bytes: float,
    shrink: int,
    together: int,
    logits: bool,
) -> Plan:
    """The largest windows that fit: the whole volume, the patch, or the patch halved."""
    a, b, c = runner.engine.stride if logits else (1, 1, 1)
    for sizes in _window_sizes(runner, shape, slice_axis)[shrink:]:
        needed = _bytes(runner, shape, slice_axis, sizes, together, a * b * c if logits else None)
        if needed <= budget_bytes:
            break
    z, y, x = (
        axis_windows(-(-length // s), -(-size // s), runner.member.overlap, axis != slice_axis)
        for axis, (length, size, s) in enumerate(zip(shape, sizes, (a, b, c), strict=True))
    )
    return Plan(runner, slice_axis, Tiling(z, y, x), needed, (a, b, c), logits)


def _window_sizes(runner: Runner, shape: Shape, slice_axis: int | None) -> list[Shape]:
    """From large to small: whole volume (where the member may), then patch >> 0, 1, 2."""
    plane_axes = [axis for axis in range(3) if axis != slice_axis]
    sizes = []
    for halvings in range(HALVINGS + 1):
        size = list(shape)
        for axis, extent, divisor in zip(
            plane_axes, runner.member.patch, runner.engine.divisor, strict=True
        ):
            size[axis] = min(shape[axis], max(divisor, (extent >> halvings) // divisor * divisor))
        if slice_axis == 0:
            size[0] = min(shape[0], _SLICES_AT_ONCE)
        sizes.append((size[0], size[1], size[2]))
    # without leave to see the whole volume the patch itself stands first, so that one
    # more halving is one step down the list for every member
    return [shape if runner.member.whole else sizes[0], *sizes]


def _bytes(
    runner: Runner,
    shape: Shape,
    slice_axis: int | None,
    window: Shape,
    together: int,
    coarser: int | None,
) -> float:
    """Memory of one forward of a window and of what the passes, ``together``, keep meanwhile.

    All passes go down the volume side by side; each is taken to keep as much as this one.
    ``coarser``: voxels that one of the logits stands for; None: probabilities are made.
    """
    engine = runner.engine
    voxels = float(np.prod(window))
    head = engine.head if coarser else None
    channels = head.channels if head else engine.classes
    scores = voxels * channels * 4 / (coarser or 1)
    # a window's scores stay while its slices, or those of the next window, are computed
    result = scores if slice_axis is not None or (coarser and window != shape) else 0.0
    if slice_axis is not None:
        voxels *= min(_SLICES_AT_ONCE, window[slice_axis]) / window[slice_axis]
    plane = shape[1] * shape[2] * 4.0 / (coarser or 1)
    kept = window[0] * plane * channels
    if head:  # and the logits of the planes that are restored now
        result += PLANES_AT_ONCE * plane * engine.classes
    keeping = together if window != shape else together - 1
    a_voxel = engine.bytes_per_voxel + (0 if coarser else _SOFTMAX_BYTES * engine.classes)
    return voxels * a_voxel + result + keeping * kept


def _run(
    array: np.ndarray,
    plan: Plan,
    monitor: Monitor,
    count: _Counter,
    deviation: bool,
    ahead: bool,
) -> Iterator[Block]:
    """The scores of a pass; with ``deviation`` those of its second head after them."""
    engine = plan.runner.engine
    forward = _forward_3d if plan.slice_axis is None else _slice_forward(plan.slice_axis)
    head, channels = None, engine.classes
    if plan.logits:
        forward, head = _forward_features, engine.head
        channels = head.channels if head else channels

    def window(part: np.ndarray) -> np.ndarray:
        monitor.check()
        result = forward(engine, part, monitor)
        if not np.isfinite(result.sum()):  # else all comparisons fail, and the map is empty
            raise BundleError(
                f"The network {plan.runner.member.weights} gives values that are not numbers.",
                "Check the image's intensities; if they are in order, the model is damaged.",
            )
        return result

    blocks = stream(array, plan.tiling, channels, window, plan.stride, ahead, count.step)
    if head is None:
        return blocks
    return ((start, _scores(head, block, deviation)) for start, block in blocks)


def _scores(head: Head, features: np.ndarray, deviation: bool) -> np.ndarray:
    logits = head(features)
    spread = head.deviation(features) if deviation else None
    return logits if spread is None else np.concatenate([logits, spread])


def _forward_features(engine: Engine, part: np.ndarray, monitor: Monitor) -> np.ndarray:
    z, y, x = (-(-n // s) for n, s in zip(part.shape[1:], engine.stride, strict=True))
    padded = pad_to_multiple(part, engine.divisor)
    return engine.features(padded[np.newaxis], monitor)[0, :, :z, :y, :x]


def _forward_3d(engine: Engine, part: np.ndarray, monitor: Monitor) -> np.ndarray:
    _, z, y, x = part.shape
    padded = pad_to_multiple(part, engine.divisor)
    return engine.probabilities(padded[np.newaxis], monitor)[0, :, :z, :y, :x]


def _slice_forward(slice_axis: int) -> Callable[[Engine, np.ndarray, Monitor], np.ndarray]:
    def forward(engine: Engine, part: np.ndarray, monitor: Monitor) -> np.ndarray:
        slices = np.moveaxis(part, slice_axis + 1, 0)  # [n, c, rows, columns]
        rows, columns = slices.shape[2:]
        result = np.empty((len(slices), engine.classes, rows, columns), np.float32)
        for first in range(0, len(slices), _SLICES_AT_ONCE):
            some = pad_to_multiple(slices[first : first + _SLICES_AT_ONCE], engine.divisor)
            output = engine.probabilities(some, monitor)
            result[first : first + len(some)] = output[..., :rows, :columns]
        return np.moveaxis(result, 0, slice_axis + 1)

    return forward


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    if len(arrays) == 1:
        return arrays[0]
    total = arrays[0].copy()
    for array in arrays[1:]:
        total += array
    total /= len(arrays)
    return total


def _deviation(members: Sequence[np.ndarray], mean: np.ndarray) -> np.ndarray:
    squares = np.zeros_like(mean)
    for member in members:
        squares += np.square(member - mean)
    return np.sqrt(squares / len(members))
