"""The images of one case, and what was found out about them, for several regions of them."""

from __future__ import annotations

from collections.abc import Sequence

import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import Channel, Grid
from KDSegmentationLogic.inference.preprocess import Statistics, statistics_of


class Case:
    """One scalar image a channel, on one grid; they are not to be changed while this is in use.

    Whoever segments several regions of the same images keeps one of these: a model that is
    normalised by the whole image needs it resampled for its statistics, which takes longer than
    a region's network.
    """

    def __init__(self, images: Sequence[sitk.Image]) -> None:
        self.images = tuple(images)
        self._statistics: dict[tuple[tuple[Channel, ...], Grid], list[Statistics | None]] = {}

    def statistics(self, channels: Sequence[Channel], grid: Grid) -> list[Statistics | None]:
        """As ``statistics_of`` the images, computed once for a model's channels and grid."""
        key = (tuple(channels), grid)
        if key not in self._statistics:
            self._statistics[key] = statistics_of(self.images, channels, grid)
        return self._statistics[key]
