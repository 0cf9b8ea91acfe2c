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
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    # The parent first: the reference geometry is stored relative to it.
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(_labelmap())
    layer = _oriented(label_image)
    for label in labels:
        segment = _segment(label.name, label.color, layer, label.value)
        if label.terminology is not None:
            tag = slicer.vtkSegment.GetTerminologyEntryTagName()
            segment.SetTag(tag, terminology_tag(label.terminology))
        segmentation.AddSegment(segment, f"label_{label.value}")
    hierarchy.place_beside(node, volume_node)
    return node


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
    segment = _segment(name, color, _oriented(sitk.Cast(mask != 0, sitk.sitkUInt8)), 1)
    segmentation = node.GetSegmentation()
    identifier = segmentation.GenerateUniqueSegmentID(name)
    segmentation.AddSegment(segment, identifier)
    return identifier


def _labelmap() -> str:
    return slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()


def _segment(
    name: str, color: tuple[int, int, int], layer: slicer.vtkOrientedImageData, value: int
) -> slicer.vtkSegment:
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.SetColor([channel / 255 for channel in color])
    # Else the application renames and recolours it by the terminology.
    segment.NameAutoGeneratedOff()
    segment.ColorAutoGeneratedOff()
    segment.SetLabelValue(value)
    segment.AddRepresentation(_labelmap(), layer)
    return segment


def _oriented(image: sitk.Image) -> slicer.vtkOrientedImageData:
    array = sitk.GetArrayViewFromImage(image)
    oriented = slicer.vtkOrientedImageData()
    oriented.SetDimensions(*image.GetSize())
    oriented.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True))
    matrix = slicer.util.vtkMatrixFromArray(volumes.matrix_of(image))
    oriented.SetGeometryFromImageToWorldMatrix(matrix)
    return oriented


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
