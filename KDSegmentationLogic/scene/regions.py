"""Points and regions of interest of the scene in a volume's own coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import slicer

from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.inference.region import Box, Point
from KDSegmentationLogic.scene.volumes import local_point


def point_in_volume(volume: slicer.vtkMRMLVolumeNode, ras_world: Sequence[float]) -> Point:
    """A world position (RAS mm) as a point in the volume's local coordinates."""
    return Point(local_point(volume, ras_world))


def box_in_volume(volume: slicer.vtkMRMLVolumeNode, roi: slicer.vtkMRMLMarkupsROINode) -> Box:
    """The box along the volume's local RAS axes that holds all of a markups ROI.

    Raises
    ------
    SceneError : the ROI has no extent yet.
    """
    size = np.array(roi.GetSize())
    if not (size > 0).all():
        raise SceneError(f"The region {roi.GetName()} has no extent.", "Place it in a view first.")
    to_world = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())
    corners = [
        local_point(volume, (to_world @ [*(np.array(side) * size / 2), 1.0])[:3])
        for side in product((-1, 1), repeat=3)
    ]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    return Box(tuple(low.tolist()), tuple(high.tolist()))
