"""Batches of patches: 3-D blocks, or slices for a 2-D network.

Each patch is drawn from a generator of its own, seeded by (seed, step, its place in the
batch): a training that continues after a kill draws what it would have drawn, and several
processes that share a batch draw what one process would have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from KDSegmentationLogic.inference.predict import SLICE_AXIS
from KDSegmentationLogic.training.cases import TrainingCase
from KDSegmentationLogic.training.quantised import decode_deviation, decode_probabilities


@dataclass
class Batch:
    """Patches of the cases ``names``.

    image float32 [n, c, ...], labels int64 [n, ...]; from a teacher where there is one, soft
    (probabilities) and deviation (standard deviations), float32 [n, k, ...]. spacing: of each
    patch's axes, float32 [n, d]; none: the same along all.
    """

    names: tuple[str, ...]
    image: torch.Tensor
    labels: torch.Tensor
    soft: torch.Tensor | None = None
    deviation: torch.Tensor | None = None
    spacing: torch.Tensor | None = None

    def to(self, device: str | torch.device) -> Batch:
        return Batch(
            self.names,
            self.image.to(device),
            self.labels.to(device),
            None if self.soft is None else self.soft.to(device),
            None if self.deviation is None else self.deviation.to(device),
            self.spacing,
        )


@dataclass
class _Patch:
    name: str
    image: np.ndarray
    labels: np.ndarray
    soft: np.ndarray | None
    deviation: np.ndarray | None
    spacing: list[float]


class PatchSampler:
    """Draws patches; ``foreground`` of them hold a voxel of a class drawn evenly.

    Parameters
    ----------
    patch : (z, y, x), or (y, x) for slices along the ``views``.
    mirror : axes of the volume (0 z, 1 y, 2 x) flipped with probability 1/2. Of the volume,
        not of the patch: a sagittal slice must not be flipped front to back because the
        body is the same left and right.
    within : draw patches from the middle of the volume alone, of so many voxels (z, y, x);
        empty: from all of it. Goes with a ``foreground`` of 0.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        patch: Sequence[int],
        views: Sequence[str],
        foreground: float,
        mirror: Sequence[int],
        seed: int,
        within: Sequence[int] = (),
    ) -> None:
        self._cases, self._within = cases, tuple(within)
        self._patch = tuple(patch)
        self._axes = [SLICE_AXIS[view] for view in views]  # type: ignore[index]
        self._foreground = foreground
        self._mirror = tuple(mirror)
        self._seed = seed
        self._positions = [_class_positions(case.labels) for case in cases]

    def batch(self, step: int, places: Sequence[int]) -> Batch:
        """The patches at these places of this step's batch."""
        patches = [self._draw(np.random.default_rng((self._seed, step, i))) for i in places]
        return Batch(
            tuple(patch.name for patch in patches),
            torch.from_numpy(np.stack([patch.image for patch in patches])),
            torch.from_numpy(np.stack([patch.labels for patch in patches])).long(),
            _stacked([patch.soft for patch in patches], decode_probabilities),
            _stacked([patch.deviation for patch in patches], decode_deviation),
            torch.tensor([patch.spacing for patch in patches]),
        )

    def _draw(self, random: np.random.Generator) -> _Patch:
        number = int(random.integers(len(self._cases)))
        case, positions = self._cases[number], self._positions[number]
        centre: Sequence[int] | None = None
        if positions and random.random() < self._foreground:
            of_class = positions[int(random.integers(len(positions)))]
            flat = int(of_class[int(random.integers(len(of_class)))])
            centre = [int(i) for i in np.unravel_index(flat, case.labels.shape)]
        size = list(self._patch)
        slice_axis = None
        if self._axes:
            slice_axis = self._axes[int(random.integers(len(self._axes)))]
            size.insert(slice_axis, 1)
        shape = case.labels.shape
        box = [min(n, part) for n, part in zip(shape, self._within or shape, strict=True)]
        start = [
            (length - part) // 2
            + _start(part, extent, None if centre is None else centre[axis], random)
            for axis, (length, part, extent) in enumerate(zip(shape, box, size, strict=True))
        ]
        flips = [axis for axis in self._mirror if random.random() < 0.5]

        def cut(array: np.ndarray | None) -> np.ndarray | None:
            if array is None:
                return None
            array = np.flip(_cut(array, start, size), tuple(axis + 1 for axis in flips))
            return array if slice_axis is None else array.take(0, axis=slice_axis + 1)

        image, labels = cut(case.image), cut(case.labels[np.newaxis])
        assert image is not None
        assert labels is not None
        spacing = [s for axis, s in enumerate(case.spacing) if axis != slice_axis]
        return _Patch(case.name, image, labels[0], cut(case.soft), cut(case.deviation), spacing)


def _stacked(
    maps: Sequence[np.ndarray | None], decode: Callable[[np.ndarray], np.ndarray]
) -> torch.Tensor | None:
    """float32 [n, k, ...] of quantised maps; None where there are none."""
    known = [array for array in maps if array is not None]
    return torch.from_numpy(decode(np.stack(known))) if known else None


def _class_positions(labels: np.ndarray) -> list[np.ndarray]:
    """Flat indices of each class's voxels: a third of the memory of coordinates."""
    return [np.flatnonzero(labels == k) for k in np.unique(labels) if k != 0]


def _start(length: int, extent: int, centre: int | None, random: np.random.Generator) -> int:
    """Where the patch starts: anywhere inside, or so that it holds ``centre``.

    A patch larger than the image starts at or before 0 so that it holds the whole image.
    """
    low, high = min(0, length - extent), max(0, length - extent)
    if centre is not None and extent < length:
        low, high = max(low, centre - extent + 1), min(high, centre)
    return int(random.integers(low, high + 1))


def _cut(array: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """[c, z, y, x] cut to ``size`` from ``start``; beyond the image its edge goes on."""
    for axis, (first, extent) in enumerate(zip(start, size, strict=True), 1):
        index = np.clip(np.arange(first, first + extent), 0, array.shape[axis] - 1)
        array = array.take(index, axis=axis)
    return array
