"""The views of a comparison: both results and where they differ, side by side and linked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import slicer

from KDSegmentationLogic.scene import edits
from KDSegmentationLogic.scene.compared import ComparisonNodes
from KDSegmentationLogic.scene.rendering import Orientation
from KDSegmentationLogic.scene.segmentations import LABELMAP
from KDSegmentationLogic.scene.volumes import parent_to_world

SIDE_BY_SIDE = 5604
"""Number of the layout among Slicer's; own ones start above 500."""

VIEWS = ("KDSegFirst", "KDSegSecond", "KDSegDifference")
"""Singleton tags of the slice views, from left to right."""

_BEFORE = "KDSegmentation.Before"
_AXIS: dict[Orientation, int] = {"Sagittal": 0, "Coronal": 1, "Axial": 2}
# The label beside a view's slider, and its colour: calm, and the last one as the segment's.
_LOOKS = (("1", "#4b8ec9"), ("2", "#7fb069"), ("1-2", "#eb4682"))


def register_layout() -> None:
    """Make the layout known; again after each load of a scene, which keeps the number only."""
    layout = _layout_node()
    if layout is None:
        return
    if layout.IsLayoutDescription(SIDE_BY_SIDE):
        layout.SetLayoutDescription(SIDE_BY_SIDE, _description())
    else:
        layout.AddLayoutDescription(SIDE_BY_SIDE, _description())
    if layout.GetViewArrangement() == SIDE_BY_SIDE:  # a loaded scene that shows it
        layout.SetViewArrangement(SIDE_BY_SIDE)


def show_side_by_side(
    nodes: ComparisonNodes,
    volume: slicer.vtkMRMLVolumeNode,
    orientation: Orientation = "Axial",
) -> None:
    """Switch to the layout: first, second and disagreement (with uncertainty), linked.

    Each segmentation is shown in its own slice view only, the first in 3-D too.
    """
    register_layout()
    layout = _layout_node()
    if layout is not None and layout.GetViewArrangement() != SIDE_BY_SIDE:
        layout.SetAttribute(_BEFORE, str(layout.GetViewArrangement()))
        layout.SetViewArrangement(SIDE_BY_SIDE)
    shown = (nodes.first, nodes.second, nodes.disagreement)
    for tag, segmentation in zip(VIEWS, shown, strict=True):
        view = _singleton("vtkMRMLSliceNode", tag)
        view.SetOrientation(orientation)
        composite = _singleton("vtkMRMLSliceCompositeNode", tag)
        composite.SetLinkedControl(1)
        composite.SetHotLinkedControl(1)
        composite.SetBackgroundVolumeID(volume.GetID())
        uncertain = nodes.uncertainty if tag == VIEWS[2] else None
        composite.SetForegroundVolumeID(uncertain.GetID() if uncertain else None)
        composite.SetForegroundOpacity(0.6 if uncertain else 0.0)
        display = segmentation.GetDisplayNode()
        display.RemoveAllViewNodeIDs()
        display.AddViewNodeID(view.GetID())
        display.SetVisibility(True)
    for three_d in slicer.util.getNodesByClass("vtkMRMLViewNode"):
        nodes.first.GetDisplayNode().AddViewNodeID(three_d.GetID())


def leave_side_by_side() -> None:
    """Back to the layout before; of the comparison the first segmentation is shown everywhere."""
    layout = _layout_node()
    if layout is not None and layout.GetViewArrangement() == SIDE_BY_SIDE:
        layout.SetViewArrangement(int(layout.GetAttribute(_BEFORE) or 0) or _CONVENTIONAL)
    for number, tag in enumerate(VIEWS):
        view = slicer.mrmlScene.GetSingletonNode(tag, "vtkMRMLSliceNode")
        for segmentation in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            display = segmentation.GetDisplayNode()
            if view and display and view.GetID() in (display.GetViewNodeIDs() or ()):
                display.RemoveAllViewNodeIDs()
                display.SetVisibility(number == 0)


def largest_disagreement(
    disagreement: slicer.vtkMRMLSegmentationNode,
) -> dict[Orientation, tuple[float, float, float]]:
    """For each orientation the world position (RAS mm) in the slice that differs most.

    Slices are those of the world, as thick as the voxels are along their normal; the position
    is the middle of what differs in the slice. Empty where the two agree everywhere.
    """
    segment = disagreement.GetSegmentation().GetNthSegment(0)
    layer = segment and segment.GetRepresentation(LABELMAP)
    if layer is None or not layer.GetNumberOfPoints():
        return {}
    voxels = np.argwhere(edits.layer_array(layer) == segment.GetLabelValue())[:, ::-1]
    if not len(voxels):
        return {}
    matrix = parent_to_world(disagreement) @ edits.layer_matrix(layer)
    world = (voxels + layer.GetExtent()[::2]) @ matrix[:3, :3].T + matrix[:3, 3]
    positions: dict[Orientation, tuple[float, float, float]] = {}
    for orientation, axis in _AXIS.items():
        thickness = np.abs(matrix[axis, :3]).max()
        along = world[:, axis]
        slices = np.rint((along - along.min()) / thickness).astype(int)
        most = np.bincount(slices).argmax()
        x, y, z = world[slices == most].mean(axis=0).tolist()
        positions[orientation] = (x, y, z)
    return positions


def jump(positions: Mapping[Orientation, Sequence[float]]) -> None:
    """Move every slice view to the position (world RAS mm) of its orientation."""
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        position = positions.get(view.GetOrientation())
        if position is not None:
            view.JumpSliceByCentering(*position)


_CONVENTIONAL = slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView


def _layout_node() -> slicer.vtkMRMLLayoutNode | None:
    """Slicer's own; without its window there may be none."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def _singleton(class_name: str, tag: str) -> slicer.vtkMRMLNode:
    """The node of a view. The application makes it with the layout; without it, it is made."""
    node = slicer.mrmlScene.GetSingletonNode(tag, class_name)
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetSingletonTag(tag)
        node.SetLayoutName(tag)
        node.SetName(tag)
        node = slicer.mrmlScene.AddNode(node)
    return node


def _description() -> str:
    views = "".join(
        f'<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
        '<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{color}</property>'
        f'<property name="viewgroup" action="default">{SIDE_BY_SIDE}</property>'
        "</view></item>"
        for tag, (label, color) in zip(VIEWS, _LOOKS, strict=True)
    )
    return f'<layout type="horizontal" split="true">{views}</layout>'
