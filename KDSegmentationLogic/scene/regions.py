"""Points and regions of interest of the scene in a volume's own coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer

from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.inference.region import Box, Point
from KDSegmentationLogic.scene.volumes import local_point, parent_to_world


def point_in_volume(volume: slicer.vtkMRMLVolumeNode, ras_world: Sequence[float]) -> Point:
    """A world position (RAS mm) as a point in the volume's local coordinates."""
    return Point(local_point(volume, ras_world))


def box_in_volume(volume: slicer.vtkMRMLVolumeNode, roi: slicer.vtkMRMLMarkupsROINode) -> Box:
    """A markups ROI, turned as it is, in the volume's local coordinates.

    Raises
    ------
    SceneError : the ROI has no extent yet; a transform is not linear, or cannot be undone.
    """
    half = np.array(roi.GetSize()) / 2
    if not (half > 0).all():
        raise SceneError(f"The region {roi.GetName()} has no extent.", "Place it in a view first.")
    parent_to_world(roi)
    to_world = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())
    to_local = np.linalg.solve(parent_to_world(volume), to_world)
    return Box(tuple((-half).tolist()), tuple(half.tolist()), tuple(to_local.ravel().tolist()))
