"""The comparison's views made easy to read: zoomed in, with nothing else in the way."""

from __future__ import annotations

from itertools import product

import numpy as np
import slicer

from KDSegmentationLogic.scene import edits
from KDSegmentationLogic.scene.compared import ComparisonNodes
from KDSegmentationLogic.scene.layouts import VIEWS
from KDSegmentationLogic.scene.volumes import parent_to_world

# Structures fill about half of a view; below this a view shows voxels and no anatomy.
_MARGIN, _LEAST_MM = 1.9, 60.0

# Of the entropy, 0 to 1. Lower values surround every structure and hide where it matters.
CERTAIN_BELOW = 0.3
_OPACITY = 0.5

_HIDDEN = "KDSegmentation.HiddenForComparison"


def arrange(nodes: ComparisonNodes) -> None:
    """Hide what lies over the results, and zoom the three views to the structures."""
    for node in _others(nodes):
        display = node.GetDisplayNode()
        if display is not None and display.GetVisibility() and not display.GetViewNodeIDs():
            node.SetAttribute(_HIDDEN, "1")
            display.SetVisibility(False)
    if nodes.uncertainty is not None:
        nodes.uncertainty.GetDisplayNode().SetLowerThreshold(CERTAIN_BELOW)
    zoom(nodes)


def zoom(nodes: ComparisonNodes) -> None:
    """Structures fill about half of each view; again where the views changed their size."""
    extent = _extent(nodes)
    for view in _views():
        width, height = view.GetDimensions()[:2]
        across, up = _in_plane(view, extent)
        aspect = width / max(height, 1)
        wide = max(_MARGIN * across, _MARGIN * up * aspect, _LEAST_MM)
        view.SetFieldOfView(wide, wide / aspect, view.GetFieldOfView()[2])


def leave() -> None:
    """Show again what ``arrange`` had hidden."""
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if node.GetAttribute(_HIDDEN):
            node.RemoveAttribute(_HIDDEN)
            node.GetDisplayNode().SetVisibility(True)


def show_uncertainty(shown: bool) -> None:
    """Lay the uncertainty over the view of the difference, or take it away."""
    composite = slicer.mrmlScene.GetSingletonNode(VIEWS[2], "vtkMRMLSliceCompositeNode")
    if composite is not None:
        composite.SetForegroundOpacity(_OPACITY if shown else 0.0)


def uncertainty_shown() -> bool:
    """Whether it is laid over the view; the scene keeps it."""
    composite = slicer.mrmlScene.GetSingletonNode(VIEWS[2], "vtkMRMLSliceCompositeNode")
    return composite is not None and composite.GetForegroundOpacity() > 0


def _others(nodes: ComparisonNodes) -> list[slicer.vtkMRMLSegmentationNode]:
    own = {nodes.first.GetID(), nodes.second.GetID(), nodes.disagreement.GetID()}
    found = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in found if node.GetID() not in own]


def _views() -> list[slicer.vtkMRMLSliceNode]:
    found = (slicer.mrmlScene.GetSingletonNode(tag, "vtkMRMLSliceNode") for tag in VIEWS)
    return [view for view in found if view is not None]


def _extent(nodes: ComparisonNodes) -> np.ndarray:
    """Edges (world R, A, S in mm) of the box round all voxels that have a structure."""
    corners = [c for node in (nodes.first, nodes.second) for c in _corners(node)]
    return np.ptp(corners, axis=0) if corners else np.zeros(3)


def _corners(node: slicer.vtkMRMLSegmentationNode) -> list[np.ndarray]:
    """Of the box of voxels in each layer; a layer's own bounds are those of the volume."""
    segmentation = node.GetSegmentation()
    found = []
    for number in range(segmentation.GetNumberOfLayers()):
        layer = segmentation.GetLayerDataObject(number)
        array = edits.layer_array(layer)
        filled = [np.flatnonzero(array.any(axis=others)) for others in ((0, 1), (0, 2), (1, 2))]
        if not len(filled[0]):
            continue
        matrix = parent_to_world(node) @ edits.layer_matrix(layer)
        start = layer.GetExtent()[::2]
        ends = [(f[0] + s - 0.5, f[-1] + s + 0.5) for f, s in zip(filled, start, strict=True)]
        found += [(matrix @ (*corner, 1.0))[:3] for corner in product(*ends)]
    return found


def _in_plane(view: slicer.vtkMRMLSliceNode, extent: np.ndarray) -> tuple[float, float]:
    """How much of the box lies along the view's horizontal and vertical axis."""
    matrix = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())[:3, :2]
    across, up = np.abs(matrix).T @ extent
    return float(across), float(up)
