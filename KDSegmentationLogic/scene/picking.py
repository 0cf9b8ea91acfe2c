"""Structures picked by a click: added to a segmentation one by one, and taken out again.

A picked structure is one segment, or several that a model of one structure's parts found
together. Its segments carry the tag ``KDSegmentation.Structure`` with a number of its own, so
that a click removes all of them; the tag is saved with the segmentation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.bundles.terminology import terminology_tag
from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.inference.region import NEAREST_MM, Block
from KDSegmentationLogic.scene import edits, sides
from KDSegmentationLogic.scene.segmentations import LABELMAP, add_segments, empty_segmentation
from KDSegmentationLogic.scene.volumes import ijk_to_ras, local_point, parent_to_world

_STRUCTURE, _BASE, _X = (f"KDSegmentation.{name}" for name in ("Structure", "Base", "X"))


def add_picked(
    node: slicer.vtkMRMLSegmentationNode | None,
    volume: slicer.vtkMRMLVolumeNode,
    labels: sitk.Image,
    block: Block,
    bundle: Bundle,
) -> tuple[slicer.vtkMRMLSegmentationNode, list[str]]:
    """Add what a model found round a point; the segmentation and sentences for the user.

    A structure that was picked before and shares voxels with the new one makes place for it,
    unless the user has edited the segmentation: then the new one is added beside it.

    Parameters
    ----------
    node : to add to; a new one is made where there is none, or where it does not belong to
        the volume and its place in the world.
    labels : of the block only. block : first index and size (i, j, k) in the volume.
    """
    array = sitk.GetArrayViewFromImage(labels)
    found = [label for label in bundle.description.labels if (array == label.value).any()]
    if not found:
        raise SceneError(
            "The model found nothing at the point.", "Place the point on the structure."
        )
    notices = []
    if node is not None and not _belongs(node, volume):
        notices.append(f"{node.GetName()} belongs to another volume: a new one was made.")
        node = None
    if node is None:
        node = empty_segmentation(volume, f"{volume.GetName()} picked")
        edits.mark(node, "picked", bundle.name)
    untouched = edits.is_untouched(node)
    box = tuple(slice(low.min(), low.max() + 1) for low in np.nonzero(array))
    first = np.add(block[0], [part.start for part in box][::-1])
    part = np.ascontiguousarray(array[box])
    if untouched:
        for identifier in _overlapping(node, volume, part, first, found):
            node.RemoveSegment(identifier)
    _add(node, volume, part, first, found)
    if untouched:
        edits.mark(node, "picked", bundle.name)
    return node, notices


def unpick(node: slicer.vtkMRMLSegmentationNode, point: Sequence[float]) -> list[str]:
    """Remove the picked structure under a world point (RAS mm); the names of its segments.

    Raises
    ------
    SceneError : none is within ``NEAREST_MM`` of the point.
    """
    untouched = edits.is_untouched(node)
    local = np.array([*local_point(node, point), 1.0])
    distances = {
        identifier: _distance(node.GetSegmentation().GetSegment(identifier), local)
        for identifier in _picked(node)
    }
    nearest = min(distances, key=distances.__getitem__, default=None)
    if nearest is None or distances[nearest] > NEAREST_MM:
        raise SceneError(
            f"No picked structure of {node.GetName()} is within {NEAREST_MM:g} mm of the point.",
            "Click on the structure that is to go.",
        )
    number = _picked(node)[nearest]
    segments = [identifier for identifier, n in _picked(node).items() if n == number]
    names = [node.GetSegmentation().GetSegment(one).GetName() for one in segments]
    for identifier in segments:
        node.RemoveSegment(identifier)
    if untouched:
        edits.mark(node, "picked", node.GetAttribute(edits.MODEL))
    return names


def _add(
    node: slicer.vtkMRMLSegmentationNode,
    volume: slicer.vtkMRMLVolumeNode,
    array: np.ndarray,
    first: np.ndarray,
    found: Sequence[Label],
) -> None:
    k, j, i = (axis.mean() for axis in np.nonzero(array))
    matrix = parent_to_world(volume) @ ijk_to_ras(volume)
    centre = (matrix @ [*np.add(first, (i, j, k)), 1.0])[:3]
    paired = any(sides.wants_side(label) for label in found)
    side = sides.side_of(volume, centre) if paired else None
    if paired and side is None:
        side = _beside_another(node, found, float(centre[0]))
    named = [sides.sided(label, side) if sides.wants_side(label) else label for label in found]
    number = str(1 + max(map(int, _picked(node).values()), default=0))
    segmentation = node.GetSegmentation()
    for base, identifier in zip(
        found, add_segments(node, array, first.tolist(), named, volume), strict=True
    ):
        segment = segmentation.GetSegment(identifier)
        segment.SetName(_free_name(node, identifier))
        segment.SetTag(_STRUCTURE, number)
        segment.SetTag(_BASE, base.name)
        segment.SetTag(_X, f"{centre[0]:.3f}")


def _beside_another(
    node: slicer.vtkMRMLSegmentationNode, found: Sequence[Label], x: float
) -> sides.Side | None:
    """The side by another structure of the same name; that one is named by it, too."""
    side: sides.Side | None = None
    segmentation = node.GetSegmentation()
    for identifier in _picked(node):
        segment = segmentation.GetSegment(identifier)
        label = next((one for one in found if one.name == _tag(segment, _BASE)), None)
        if label is None or abs(float(_tag(segment, _X)) - x) <= sides.CLEAR_MM:
            continue
        side = "Right" if x > float(_tag(segment, _X)) else "Left"
        if segment.GetName() == label.name and sides.wants_side(label):
            other = sides.sided(label, "Left" if side == "Right" else "Right")
            segment.SetName(other.name)
            tag = slicer.vtkSegment.GetTerminologyEntryTagName()
            if other.terminology is not None:
                segment.SetTag(tag, terminology_tag(other.terminology))
    return side


def _free_name(node: slicer.vtkMRMLSegmentationNode, identifier: str) -> str:
    """The segment's name, with a number where another segment has it."""
    segmentation = node.GetSegmentation()
    name = segmentation.GetSegment(identifier).GetName()
    taken = {
        segmentation.GetSegment(other).GetName()
        for other in segmentation.GetSegmentIDs()
        if other != identifier
    }
    if name not in taken:
        return name
    return next(f"{name} {n}" for n in range(2, len(taken) + 3) if f"{name} {n}" not in taken)


def _belongs(node: slicer.vtkMRMLSegmentationNode, volume: slicer.vtkMRMLVolumeNode) -> bool:
    same_place = np.allclose(parent_to_world(node), parent_to_world(volume), atol=1e-6)
    return edits.volume_of(node) is volume and bool(same_place)


def _picked(node: slicer.vtkMRMLSegmentationNode) -> dict[str, str]:
    """The ids of picked segments, and the number of each one's structure."""
    segmentation = node.GetSegmentation()
    numbers = {
        i: _tag(segmentation.GetSegment(i), _STRUCTURE) for i in segmentation.GetSegmentIDs()
    }
    return {identifier: number for identifier, number in numbers.items() if number}


def _overlapping(
    node: slicer.vtkMRMLSegmentationNode,
    volume: slicer.vtkMRMLVolumeNode,
    array: np.ndarray,
    first: np.ndarray,
    found: Sequence[Label],
) -> list[str]:
    """Segments of those picked structures that share voxels with the new one in a segment of
    the same name."""
    segmentation = node.GetSegmentation()
    picked = _picked(node)
    numbers = set()
    for identifier, number in picked.items():
        segment = segmentation.GetSegment(identifier)
        values = [label.value for label in found if label.name == _tag(segment, _BASE)]
        layer = segment.GetRepresentation(LABELMAP)
        if not values or layer is None:
            continue
        other = edits.layer_array(layer)
        # A layer that was read from a file can count from another corner.
        corner = edits.layer_matrix(layer) @ [*layer.GetExtent()[::2], 1.0]
        start = np.rint(np.linalg.solve(ijk_to_ras(volume), corner))[:3].astype(int)
        low = np.maximum(start, first)
        high = np.minimum(start + other.shape[::-1], np.add(first, array.shape[::-1]))
        if (high <= low).any():
            continue
        new = _block(array, low - first, high - first) == values[0]
        old = _block(other, low - start, high - start) == segment.GetLabelValue()
        if (new & old).any():
            numbers.add(number)
    return [identifier for identifier, number in picked.items() if number in numbers]


def _block(array: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Of an array [z, y, x] the voxels from ``low`` up to ``high`` (i, j, k)."""
    return array[tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))]


def _distance(segment: slicer.vtkSegment, local: np.ndarray) -> float:
    """From a position (RAS mm, local) to the nearest voxel centre of a segment; 0 within one."""
    layer = segment.GetRepresentation(LABELMAP)
    if layer is None or not layer.GetNumberOfPoints():
        return float("inf")
    matrix = edits.layer_matrix(layer)
    start = np.array(layer.GetExtent()[::2])
    index = np.linalg.solve(matrix, local)[:3] - start
    array = edits.layer_array(layer)
    voxels = np.argwhere(array == segment.GetLabelValue())[:, ::-1]
    if not len(voxels):
        return float("inf")
    away = voxels - index
    if (np.abs(away) <= 0.5 + 1e-6).all(axis=1).any():
        return 0.0
    return float(np.linalg.norm(away @ matrix[:3, :3].T, axis=1).min())


def _tag(segment: slicer.vtkSegment, name: str) -> str:
    value = vtk.reference("")
    return str(value.get()) if segment.GetTag(name, value) else ""
