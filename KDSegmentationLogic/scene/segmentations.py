"""Label maps as segmentation nodes, and back, voxel for voxel.

The label map becomes the shared layer of all segments directly. The road that
``slicer.util.updateSegmentBinaryLabelmapFromArray`` takes was left for three reasons: it
applies a parent transform twice, copies the volume once a segment, and gives each segment
a layer of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.bundles.terminology import terminology_tag
from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.imaging.geometry import same_grid
from KDSegmentationLogic.scene import hierarchy, volumes

LABELMAP = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()


def segmentation_from_labels(
    label_image: sitk.Image,
    labels: Sequence[Label],
    volume_node: slicer.vtkMRMLVolumeNode,
    name: str,
) -> slicer.vtkMRMLSegmentationNode:
    """Add a segmentation node of a label map (integers, on the volume's own grid).

    The node gets the volume's parent transform, its geometry as reference, and a place
    beside it in the subject hierarchy. Segment ids are ``label_<value>``; a label that no
    voxel has becomes an empty segment; all segments share one layer, in which they keep
    their label values.

    Raises
    ------
    SceneError : the label map is not on the volume's grid.
    """
    _check_grid(label_image, volume_node)
    node = empty_segmentation(volume_node, name)
    _fill(node, label_image, labels)
    return node


def replace_labels(
    node: slicer.vtkMRMLSegmentationNode,
    label_image: sitk.Image,
    labels: Sequence[Label],
    volume_node: slicer.vtkMRMLVolumeNode,
) -> None:
    """Put another label map, on the volume's own grid, into a segmentation node.

    Its name, displays and references stay; a segment that was there before under the same id
    keeps its colour and whether it is shown.

    Raises
    ------
    SceneError : the label map is not on the volume's grid; the node is then as it was.
    """
    _check_grid(label_image, volume_node)
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    looks = {
        identifier: (
            segmentation.GetSegment(identifier).GetColor(),
            display is None or display.GetSegmentVisibility(identifier),
        )
        for identifier in segmentation.GetSegmentIDs()
    }
    with slicer.util.NodeModify(node):
        segmentation.RemoveAllSegments()
        _stand_on(node, volume_node)
        _fill(node, label_image, labels)
        for identifier, (color, visible) in looks.items():
            segment = segmentation.GetSegment(identifier)
            if segment is not None:
                segment.SetColor(color)
                if display is not None:
                    display.SetSegmentVisibility(identifier, visible)


def empty_segmentation(
    volume_node: slicer.vtkMRMLVolumeNode, name: str
) -> slicer.vtkMRMLSegmentationNode:
    """Add a segmentation node without segments, in a volume's place and geometry."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    _stand_on(node, volume_node)
    node.GetSegmentation().SetSourceRepresentationName(LABELMAP)
    hierarchy.place_beside(node, volume_node)
    return node


def add_segments(
    node: slicer.vtkMRMLSegmentationNode,
    array: np.ndarray,
    first: Sequence[int],
    labels: Sequence[Label],
    volume_node: slicer.vtkMRMLVolumeNode,
) -> list[str]:
    """Add segments of one layer that covers a block of the volume's grid; their ids.

    array : uint8 or uint16 [z, y, x] of label values; first : index (i, j, k) of its first
    voxel in the volume, under whose transform the node must stand.
    """
    layer = _layer(array, first, volumes.ijk_to_ras(volume_node))
    segmentation = node.GetSegmentation()
    identifiers = []
    for label in labels:
        identifier = segmentation.GenerateUniqueSegmentID(f"label_{label.value}")
        segmentation.AddSegment(_segment(label, layer), identifier)
        identifiers.append(identifier)
    return identifiers


def labels_from_segmentation(
    node: slicer.vtkMRMLSegmentationNode, reference_volume: slicer.vtkMRMLVolumeNode
) -> tuple[sitk.Image, dict[int, str]]:
    """A segmentation as a label map on a volume's grid, and the name of each value.

    Segments keep their label values; where two have the same (they lie in different
    layers), segments are numbered from 1. Where segments overlap, the later one wins. A
    segment that is empty has a name and no voxels; a segmentation without segments is a map
    of zeros without names. Different parent transforms of the two nodes are respected.
    """
    segmentation = node.GetSegmentation()
    count = segmentation.GetNumberOfSegments()
    segments = [segmentation.GetNthSegment(n) for n in range(count)]
    values = [segment.GetLabelValue() for segment in segments]
    if len(set(values)) < count:
        values = list(range(1, count + 1))
    lookup = np.array([0, *values], np.uint16 if max(values, default=0) > 255 else np.uint8)
    merged = lookup[_merged(node, reference_volume)]
    image = volumes.image_from_array(merged, volumes.ijk_to_ras(reference_volume))
    return image, {value: s.GetName() for value, s in zip(values, segments, strict=True)}


def disagreement(
    first: slicer.vtkMRMLSegmentationNode,
    second: slicer.vtkMRMLSegmentationNode,
    volume: slicer.vtkMRMLVolumeNode,
) -> sitk.Image:
    """A mask (uint8) on the volume's grid: 1 where the two say different structures.

    Structures are the same where their names are; label values may differ.
    """
    found = [labels_from_segmentation(node, volume) for node in (first, second)]
    numbers: dict[str, int] = {}
    arrays = []
    for image, names in found:
        lookup = np.zeros(max(names, default=0) + 1, np.uint16)
        for value, name in names.items():
            lookup[value] = numbers.setdefault(name, len(numbers) + 1)
        arrays.append(lookup[sitk.GetArrayViewFromImage(image)])
    mask = (arrays[0] != arrays[1]).astype(np.uint8)
    return volumes.image_from_array(mask, volumes.ijk_to_ras(volume))


def add_segment(
    node: slicer.vtkMRMLSegmentationNode,
    mask: sitk.Image,
    name: str,
    color: tuple[int, int, int],
) -> str:
    """Add a segment of its own layer where ``mask`` is not 0; it may overlap others.

    ``mask`` lies in the node's local coordinates. Returns the new segment's id.
    """
    layer = _oriented(sitk.Cast(mask != 0, sitk.sitkUInt8))
    segment = _segment(Label(1, name, color), layer)
    segmentation = node.GetSegmentation()
    identifier = segmentation.GenerateUniqueSegmentID(name)
    segmentation.AddSegment(segment, identifier)
    return identifier


def _stand_on(node: slicer.vtkMRMLSegmentationNode, volume_node: slicer.vtkMRMLVolumeNode) -> None:
    # The parent first: the reference geometry is stored relative to it.
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)


def _fill(
    node: slicer.vtkMRMLSegmentationNode, label_image: sitk.Image, labels: Sequence[Label]
) -> None:
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(LABELMAP)
    layer = _oriented(label_image)
    for label in labels:
        segmentation.AddSegment(_segment(label, layer), f"label_{label.value}")


def _segment(label: Label, layer: slicer.vtkOrientedImageData) -> slicer.vtkSegment:
    segment = slicer.vtkSegment()
    segment.SetName(label.name)
    segment.SetColor([channel / 255 for channel in label.color])
    # Else the application renames and recolours it by the terminology.
    segment.NameAutoGeneratedOff()
    segment.ColorAutoGeneratedOff()
    segment.SetLabelValue(label.value)
    if label.terminology is not None:
        tag = slicer.vtkSegment.GetTerminologyEntryTagName()
        segment.SetTag(tag, terminology_tag(label.terminology))
    segment.AddRepresentation(LABELMAP, layer)
    return segment


def _oriented(image: sitk.Image) -> slicer.vtkOrientedImageData:
    return _layer(sitk.GetArrayViewFromImage(image), (0, 0, 0), volumes.matrix_of(image))


def _layer(
    array: np.ndarray, first: Sequence[int], ijk_to_ras: np.ndarray
) -> slicer.vtkOrientedImageData:
    """A block [z, y, x] of a grid, copied; ``first`` is the grid's index of its first voxel."""
    layer = slicer.vtkOrientedImageData()
    last = np.add(first, array.shape[::-1]) - 1
    layer.SetExtent([int(end) for pair in zip(first, last, strict=True) for end in pair])
    layer.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True))
    layer.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras))
    return layer


def _merged(
    node: slicer.vtkMRMLSegmentationNode, reference: slicer.vtkMRMLVolumeNode
) -> np.ndarray:
    """[z, y, x] on the reference's grid: 0 or the place of the segment in the list, from 1."""
    if not node.GetSegmentation().GetNumberOfSegments():
        return np.zeros(reference.GetImageData().GetDimensions()[::-1], np.uint8)
    merged = slicer.vtkOrientedImageData()
    identifiers = vtk.vtkStringArray()
    numbers = vtk.vtkIntArray()
    for place, identifier in enumerate(node.GetSegmentation().GetSegmentIDs(), start=1):
        identifiers.InsertNextValue(identifier)
        numbers.InsertNextValue(place)
    slicer.modules.segmentations.logic().GenerateMergedLabelmapInReferenceGeometry(
        node,
        reference,
        identifiers,
        slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY,
        merged,
        numbers,
    )
    size = merged.GetDimensions()
    return vtk_to_numpy(merged.GetPointData().GetScalars()).reshape(size[::-1])


def _check_grid(image: sitk.Image, volume_node: slicer.vtkMRMLVolumeNode) -> None:
    grid = volumes.image_from_array(
        slicer.util.arrayFromVolume(volume_node), volumes.ijk_to_ras(volume_node)
    )
    if not same_grid(image, grid):
        raise SceneError(
            f"The result is not on the grid of the volume {volume_node.GetName()},"
            " which was changed meanwhile.",
            "Segment it again.",
        )
