"""The part of a CT image that is not air, which is all that a network need look at."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import Description
from KDSegmentationLogic.inference.region import Block

_AIR_HU = -500.0
# at least so much air round the body is seen, and nothing of importance is thinner than the step
_MARGIN_MM = 10.0
_STEP = (2, 4, 4)  # voxels (z, y, x)


def body_block(image: sitk.Image, description: Description) -> Block | None:
    """The box round everything denser than air, and 1 cm more; None where that saves nothing.

    A table belongs to it. Only for CT (one scale of intensities, the same in every image) and
    models of whole volumes.
    """
    measured = all(
        c.modality == "CT" and c.normalisation.method == "fixed" for c in description.channels
    )
    if image.GetDimension() != 3 or description.field_of_view.kind == "crop" or not measured:
        return None
    view = sitk.GetArrayViewFromImage(image)[tuple(slice(None, None, s) for s in _STEP)]
    planes, rows, columns = (np.zeros(n, bool) for n in view.shape)
    for z, plane in enumerate(view):
        dense = plane > _AIR_HU
        planes[z] = dense.any()
        rows |= dense.any(axis=1)
        columns |= dense.any(axis=0)
    found = [
        np.flatnonzero(axis) * step
        for axis, step in zip((columns, rows, planes), reversed(_STEP), strict=True)
    ]
    if not len(found[0]):
        return None
    size, spacing = image.GetSize(), image.GetSpacing()
    start, extent = [], []
    for at, length, mm in zip(found, size, spacing, strict=True):
        margin = int(np.ceil(_MARGIN_MM / mm))
        low, high = max(0, int(at[0]) - margin), min(length, int(at[-1]) + 1 + margin)
        start.append(low)
        extent.append(high - low)
    return None if tuple(extent) == size else (tuple(start), tuple(extent))
