"""One result of several points, each of which keeps its own structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.inference.pipeline import Predictor, Result
from KDSegmentationLogic.inference.region import Region
from KDSegmentationLogic.progress import Monitor

Merge = Callable[[np.ndarray, np.ndarray], np.ndarray]


def segment_regions(
    predictor: Predictor,
    images: Sequence[sitk.Image],
    regions: Sequence[Region],
    monitor: Monitor,
) -> Result:
    """Segment each region by itself and lay the results over each other.

    Where two regions overlap, the earlier one's structures and probabilities stay, and the
    larger entropy and deviation. Without regions the whole image is segmented. Raises what
    ``Predictor.segment`` raises.
    """
    if not regions:
        return predictor.segment(images, None, monitor)
    results = [
        predictor.segment(images, region, monitor.part(n / len(regions), (n + 1) / len(regions)))
        for n, region in enumerate(regions)
    ]
    union = results[0]
    for result in results[1:]:
        union = Result(
            labels=_merged(union.labels, result.labels, _first),
            device=result.device,
            engine=result.engine,
            seconds={stage: union.seconds[stage] + s for stage, s in result.seconds.items()},
            probabilities=_merged_if(union.probabilities, result.probabilities, _first),
            deviation=_merged_if(union.deviation, result.deviation, np.maximum),
            entropy=_merged_if(union.entropy, result.entropy, np.maximum),
            notices=[*union.notices, *(n for n in result.notices if n not in union.notices)],
        )
    return union


def _first(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The first where it says anything; outside of its region all its values are 0."""
    empty = (first == 0).all(axis=-1, keepdims=True) if first.ndim == 4 else first == 0
    return np.where(empty, second, first)


def _merged_if(
    first: sitk.Image | None, second: sitk.Image | None, how: Merge
) -> sitk.Image | None:
    return None if first is None or second is None else _merged(first, second, how)


def _merged(first: sitk.Image, second: sitk.Image, how: Merge) -> sitk.Image:
    views = [sitk.GetArrayViewFromImage(image) for image in (first, second)]
    vector = first.GetNumberOfComponentsPerPixel() > 1
    merged = sitk.GetImageFromArray(how(*views), isVector=vector)
    merged.CopyInformation(first)
    return merged
