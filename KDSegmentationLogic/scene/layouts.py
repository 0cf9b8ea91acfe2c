"""The views of a comparison: both results and where they differ, side by side and linked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import slicer

from KDSegmentationLogic.scene.compared import ComparisonNodes
from KDSegmentationLogic.scene.rendering import Orientation

SIDE_BY_SIDE = 5604
"""Number of the layout among Slicer's; own ones start above 500."""


def register_layout() -> None:
    """Make the layout known; again after each load of a scene, which keeps the number only."""
    raise NotImplementedError


def show_side_by_side(
    nodes: ComparisonNodes,
    volume: slicer.vtkMRMLVolumeNode,
    orientation: Orientation = "Axial",
) -> None:
    """Switch to the layout: first, second and disagreement (with uncertainty), linked.

    Each segmentation is shown in its own view only, also in 3-D none of the others.
    """
    raise NotImplementedError


def leave_side_by_side() -> None:
    """Back to the layout before; segmentations of the comparison are shown in all views."""
    raise NotImplementedError


def largest_disagreement(
    disagreement: slicer.vtkMRMLSegmentationNode,
) -> dict[Orientation, tuple[float, float, float]]:
    """For each orientation the world position (RAS mm) in the slice that differs most.

    Empty where the two agree everywhere.
    """
    raise NotImplementedError


def jump(
    positions: Mapping[Orientation, Sequence[float]],
) -> None:
    """Move every slice view to the position of its orientation."""
    raise NotImplementedError
