"""Which segmentations this module made, and whether the user has changed them since.

A segmentation of ours carries attributes: ``KDSegmentation.Kind`` (result, picked or
compared), ``KDSegmentation.Model``, and ``KDSegmentation.Made``, a checksum of what was
made. Names, voxels and the set of segments count as the user's work; colours and visibility
do not, they are carried over where a result is replaced. Attributes are saved with the scene.
"""

from __future__ import annotations

import hashlib

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

from KDSegmentationLogic.scene.segmentations import LABELMAP

KIND, MODEL = "KDSegmentation.Kind", "KDSegmentation.Model"
_MADE = "KDSegmentation.Made"


def mark(node: slicer.vtkMRMLSegmentationNode, kind: str, model: str) -> None:
    """Say that the node, as it is now, was made by this module."""
    node.SetAttribute(KIND, kind)
    node.SetAttribute(MODEL, model)
    node.SetAttribute(_MADE, _checksum(node))


def is_ours(node: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether this module made the node."""
    return node.GetAttribute(_MADE) is not None


def is_untouched(node: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether this module made the node and nobody has changed its segments since."""
    return is_ours(node) and node.GetAttribute(_MADE) == _checksum(node)


def last_result(volume: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLSegmentationNode | None:
    """The newest segmentation that this module made of a volume by ``process``."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    results = (n for n in nodes if n.GetAttribute(KIND) == "result" and volume_of(n) is volume)
    return next(reversed(list(results)), None)


def volume_of(node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLVolumeNode | None:
    """The volume that a segmentation was made of, where it is still there."""
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())


def _checksum(node: slicer.vtkMRMLSegmentationNode) -> str:
    """Of names and voxels. Where the whole lies does not count: hardening a transform, or
    saving, which cuts layers to what they hold, is no change."""
    from scipy import ndimage  # not in a fresh Slicer

    digest = hashlib.sha256()
    segmentation = node.GetSegmentation()
    boxes: dict[slicer.vtkOrientedImageData, list] = {}
    origin = None
    for identifier in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(identifier)
        digest.update(f"{identifier}\n{segment.GetName()}\n".encode())
        layer = segment.GetRepresentation(LABELMAP)
        if layer is None or not layer.GetNumberOfPoints():
            continue
        array = layer_array(layer)
        if layer not in boxes:
            boxes[layer] = ndimage.find_objects(array)
        value = segment.GetLabelValue()
        box = boxes[layer][value - 1] if 0 < value <= len(boxes[layer]) else None
        if box is None:
            continue
        first = np.add([part.start for part in box][::-1], layer.GetExtent()[::2])
        matrix = layer_matrix(layer)
        corner = matrix @ [*first, 1.0]
        if origin is None:
            origin = np.linalg.inv(matrix), corner
        steps = np.rint((origin[0] @ (corner - origin[1]))[:3]).astype(int) + 0
        mask = array[box] == value
        digest.update(f"{steps.tolist()} {mask.shape}\n".encode())
        digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()


def layer_array(layer: slicer.vtkOrientedImageData) -> np.ndarray:
    """A layer's voxels [z, y, x], not copied; its first voxel is that of its extent."""
    x, y, z = layer.GetDimensions()
    return vtk_to_numpy(layer.GetPointData().GetScalars()).reshape(z, y, x)


def layer_matrix(layer: slicer.vtkOrientedImageData) -> np.ndarray:
    """The (4, 4) matrix from voxel indices, counted as the extent does, to the node's RAS mm."""
    matrix = vtk.vtkMatrix4x4()
    layer.GetImageToWorldMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
