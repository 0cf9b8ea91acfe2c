"""How far probabilities can be believed, near the structures.

Far from any structure every network is certain and right, so that figures over a whole image
say how large the image is. All here is taken over the voxels within a margin (mm) of the
reference's structures: the same voxels for every model, and those that its temperature is fitted
on. What a model finds farther away is for the distances to tell.

NLL : mean of -log of the probability given to the true class, in nats. Probabilities are
    raised to ``SMALLEST`` first: one voxel of probability 0 would make it infinite.
Brier score : mean of the sum over classes of (probability - truth)^2, from 0 to 2
    (Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2).
ECE : mean over bins of |accuracy - confidence|, weighted by their voxels, where confidence is
    the largest probability, in ``BINS`` bins of equal width from 0 to 1 (Guo et al. 2017,
    arXiv:1706.04599).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from KDSegmentationLogic.evaluation.surface import bounding_box

BINS = 15
SMALLEST = 1e-7


@dataclass(frozen=True)
class Reliability:
    """Sums over the voxels of each bin of confidence, from low to high."""

    voxels: tuple[int, ...]
    confidence: tuple[float, ...]
    correct: tuple[int, ...]

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1; nan without voxels."""
        total = sum(self.voxels)
        if not total:
            return float("nan")
        gaps = zip(self.correct, self.confidence, strict=True)
        return float(sum(abs(right - sure) for right, sure in gaps) / total)

    @property
    def accuracies(self) -> list[float]:
        """Share of right voxels in each bin; nan where it is empty."""
        return _shares(self.correct, self.voxels)

    @property
    def confidences(self) -> list[float]:
        """Mean confidence in each bin; nan where it is empty."""
        return _shares(self.confidence, self.voxels)

    @classmethod
    def of_all(cls, parts: Iterable[Reliability]) -> Reliability:
        """That of all voxels of several cases."""
        every = list(parts)
        voxels, confidence, correct = (
            np.sum([getattr(part, name) for part in every], axis=0).tolist()
            for name in ("voxels", "confidence", "correct")
        )
        return cls(tuple(voxels), tuple(confidence), tuple(correct))


@dataclass(frozen=True)
class Calibration:
    """One case; definitions in the module's docstring. nan where it has no voxel to look at."""

    nll: float
    brier: float
    reliability: Reliability

    @property
    def ece(self) -> float:
        return self.reliability.ece

    @property
    def voxels(self) -> int:
        return sum(self.reliability.voxels)


def near_structures(
    reference: np.ndarray, spacing_zyx: Sequence[float], margin: float
) -> np.ndarray:
    """The voxels of the mask and those whose centres lie within ``margin`` of one of them.

    Parameters
    ----------
    reference : boolean, or labels of which 0 is background.
    spacing_zyx, margin : in one unit of length.
    """
    inside = np.asarray(reference) != 0
    if not inside.any() or margin <= 0:
        return inside
    reach = [int(np.ceil(margin / step)) for step in spacing_zyx]
    box = tuple(
        slice(max(part.start - more, 0), part.stop + more)
        for part, more in zip(bounding_box(inside), reach, strict=True)
    )
    near = np.zeros_like(inside)
    near[box] = distance_transform_edt(~inside[box], sampling=spacing_zyx) <= margin * (1 + 1e-9)
    return near


def calibration(probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS) -> Calibration:
    """Calibration over a list of voxels.

    Parameters
    ----------
    probabilities : [k, n], summing to 1 over k.
    truth : the true class of each voxel, integers [n].

    Raises
    ------
    ValueError : the shapes do not fit.
    """
    if probabilities.ndim != 2 or truth.shape != probabilities.shape[1:]:
        raise ValueError(f"shapes {probabilities.shape} and {truth.shape} do not fit")
    if not truth.size:
        none = (0,) * bins
        return Calibration(float("nan"), float("nan"), Reliability(none, (0.0,) * bins, none))
    given = np.take_along_axis(probabilities, truth[np.newaxis].astype(np.intp), 0)[0]
    given = given.astype(np.float64)
    squares = np.square(probabilities, dtype=np.float64).sum(0)
    return Calibration(
        nll=float(-np.log(np.maximum(given, SMALLEST)).mean()),
        brier=float((squares - 2 * given + 1).mean()),
        reliability=reliability(
            probabilities.max(0).astype(np.float64), probabilities.argmax(0) == truth, bins
        ),
    )


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """Sums over bins of equal width; a bin holds its upper edge and not its lower one."""
    index = np.clip(np.ceil(confidence * bins).astype(np.intp) - 1, 0, bins - 1)
    voxels = np.bincount(index, minlength=bins)
    sure = np.bincount(index, weights=confidence, minlength=bins)
    right = np.bincount(index, weights=correct, minlength=bins).astype(np.int64)
    return Reliability(tuple(voxels.tolist()), tuple(sure.tolist()), tuple(right.tolist()))


def _shares(parts: Sequence[float], of: Sequence[int]) -> list[float]:
    return [part / whole if whole else float("nan") for part, whole in zip(parts, of, strict=True)]
