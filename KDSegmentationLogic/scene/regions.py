"""Points and regions of interest of the scene in a volume's own coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer

from KDSegmentationLogic.errors import SceneError, UsageError
from KDSegmentationLogic.inference.region import Box, Point, Region
from KDSegmentationLogic.scene.volumes import local_point, parent_to_world


@dataclass(frozen=True)
class BoxInWorld:
    """A markups ROI as it stands in the world now; the node can change afterwards.

    half : of its edge lengths (mm); to_world : (4, 4), from its own frame to world RAS mm.
    """

    half: np.ndarray
    to_world: np.ndarray


def region_in_world(
    point: Sequence[float] | None, roi: slicer.vtkMRMLMarkupsROINode | None
) -> tuple[float, ...] | BoxInWorld | None:
    """What was asked for: a world position (RAS mm), a box, or None for the whole volume.

    Raises
    ------
    UsageError : both a point and an ROI.
    SceneError : the ROI has no extent yet, or is under a transform that is not linear.
    """
    if point is not None and roi is not None:
        raise UsageError("Both a point and a region were given.", "Give one of them.")
    if point is not None:
        return tuple(map(float, point))
    return None if roi is None else box_in_world(roi)


def region_in_volume(
    volume: slicer.vtkMRMLVolumeNode, region: tuple[float, ...] | BoxInWorld | None
) -> Region | None:
    """The same in the volume's local coordinates.

    Raises
    ------
    SceneError : the volume's transform is not linear, or cannot be undone.
    """
    if isinstance(region, BoxInWorld):
        to_local = np.linalg.solve(parent_to_world(volume), region.to_world)
        ends = tuple((-region.half).tolist()), tuple(region.half.tolist())
        return Box(*ends, tuple(to_local.ravel().tolist()))
    return None if region is None else Point(local_point(volume, region))


def box_in_world(roi: slicer.vtkMRMLMarkupsROINode) -> BoxInWorld:
    """A markups ROI, turned as it is. Raises ``SceneError``, see ``region_in_world``."""
    half = np.array(roi.GetSize()) / 2
    if not (half > 0).all():
        raise SceneError(f"The region {roi.GetName()} has no extent.", "Place it in a view first.")
    parent_to_world(roi)
    return BoxInWorld(half, slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix()))
