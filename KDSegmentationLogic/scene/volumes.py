"""Volume nodes of the scene as images, and images as volume nodes.

A volume's voxels lie in its LOCAL coordinates: what its own IJK-to-RAS matrix says. A
parent transform moves the node in the world; networks never see it, and results get the
same parent. MRML is RAS mm, SimpleITK is LPS mm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.imaging.checks import check_image
from KDSegmentationLogic.inference.region import Block
from KDSegmentationLogic.scene import hierarchy

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

_VTK_HAS_NO = {sitk.sitkInt64, sitk.sitkUInt64}


def image_from_volume(
    node: slicer.vtkMRMLVolumeNode,
    within: slicer.vtkMRMLVolumeNode | None = None,
    block: Block | None = None,
) -> sitk.Image:
    """The volume as an image in LPS mm, in local coordinates: voxels copied, type kept.

    ``within``: the volume whose local coordinates are meant, if not the volume's own. What
    the parent transforms of both make of the grid must still have right angles. ``block``:
    first index and size (i, j, k), if not all of it.

    Raises
    ------
    SceneError : no volume, no voxels, several components, a non-linear parent transform.
    ImageError : what ``imaging.checks.check_image`` refuses: shear, values not finite.
    """
    _check_voxels(node)
    matrix, source = ijk_to_ras(node), f"The volume {node.GetName()}"
    to_world = parent_to_world(node)
    if within is not None and within.GetTransformNodeID() != node.GetTransformNodeID():
        matrix = np.linalg.solve(parent_to_world(within), to_world) @ matrix
        source += f", seen from {within.GetName()} through their transforms,"
    array = slicer.util.arrayFromVolume(node)
    if block is not None:
        first, size = block
        ends = np.add(first, size)
        array = array[tuple(slice(a, b) for a, b in zip(first[::-1], ends[::-1], strict=True))]
        matrix = matrix.copy()
        matrix[:3, 3] += matrix[:3, :3] @ first
    image = image_from_array(array, matrix)
    check_image(image, source)
    return image


def grid_of(node: slicer.vtkMRMLVolumeNode) -> sitk.Image:
    """The volume's grid in LPS mm, local coordinates, as an image of zeros (uint8).

    Raises
    ------
    SceneError : no volume, no voxels.
    """
    _check_voxels(node)
    grid = sitk.Image(node.GetImageData().GetDimensions(), sitk.sitkUInt8)
    return _placed(grid, ijk_to_ras(node))


def _check_voxels(node: slicer.vtkMRMLVolumeNode) -> None:
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode"):
        raise SceneError("No scalar volume was chosen.", "Choose a volume with one value a voxel.")
    name = node.GetName()
    data = node.GetImageData()
    if data is None or data.GetPointData().GetScalars() is None or not data.GetNumberOfPoints():
        raise SceneError(f"The volume {name} has no voxels.", "Load it again, or choose another.")
    if data.GetNumberOfScalarComponents() != 1:
        raise SceneError(
            f"The volume {name} has {data.GetNumberOfScalarComponents()} values a voxel.",
            "Convert the colours to one grey value with the module Vector to Scalar Volume.",
        )


def volume_from_image(
    image: sitk.Image, name: str, beside: slicer.vtkMRMLVolumeNode | None = None
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a scalar volume node of the image's voxels (copied, same type) and geometry.

    ``beside``: a volume whose parent transform and place in the subject hierarchy it shares.

    Raises
    ------
    SceneError : the image is not a 3-D image of one value a voxel, or has 64-bit integers.
    """
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise SceneError(f"{name} is not a 3-D image of one value a voxel.", "Give a scalar image.")
    if image.GetPixelID() in _VTK_HAS_NO:
        raise SceneError(f"{name} has 64-bit integers.", "Cast it to 32 bits or to float.")
    matrix = slicer.util.vtkMatrixFromArray(matrix_of(image))
    node = slicer.util.addVolumeFromArray(sitk.GetArrayViewFromImage(image), matrix, name)
    if beside is not None:
        node.SetAndObserveTransformNodeID(beside.GetTransformNodeID())
        hierarchy.place_beside(node, beside)
    return node


def display_as_map(node: slicer.vtkMRMLScalarVolumeNode, low: float, high: float) -> None:
    """Show a volume such as an uncertainty in colours from ``low`` (see-through) to ``high``."""
    display = node.GetDisplayNode()
    # One of the colour tables that Slicer computes: those read from files are not everywhere.
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeIron")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(low, high)
    display.AutoThresholdOff()
    top = max(high, node.GetImageData().GetScalarRange()[1])
    display.SetThreshold(low + (high - low) / 100, top)
    display.ApplyThresholdOn()


def local_point(
    node: slicer.vtkMRMLTransformableNode, ras_world: Sequence[float]
) -> tuple[float, float, float]:
    """A world point (RAS mm) in the node's local coordinates (RAS mm).

    Raises
    ------
    SceneError : a parent transform is not linear, or cannot be undone.
    """
    x, y, z, _ = np.linalg.solve(parent_to_world(node), [*ras_world, 1.0])
    return float(x), float(y), float(z)


def parent_to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """The (4, 4) matrix from local to world RAS mm: all parents together; identity for none.

    Raises
    ------
    SceneError : a parent transform is not linear, or is singular.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise SceneError(
            f"{node.GetName()} is under the non-linear transform {parent.GetName()}.",
            "Harden the transform first (subject hierarchy, Harden transform).",
        )
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    array = slicer.util.arrayFromVTKMatrix(matrix)
    if abs(np.linalg.det(array)) < 1e-12:
        raise SceneError(
            f"The transform {parent.GetName()} squeezes space flat.", "Correct the transform."
        )
    return array


def ijk_to_ras(node: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """The node's own (4, 4) matrix from (i, j, k, 1) to local RAS mm."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def image_from_array(array: np.ndarray, ijk_to_ras: np.ndarray) -> sitk.Image:
    """A copy of an array [z, y, x] as an image in LPS mm, by its (4, 4) matrix to RAS mm."""
    return _placed(sitk.GetImageFromArray(array), ijk_to_ras)


def _placed(image: sitk.Image, ijk_to_ras: np.ndarray) -> sitk.Image:
    matrix = RAS_TO_LPS @ ijk_to_ras
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    return image


def matrix_of(image: sitk.Image) -> np.ndarray:
    """The (4, 4) matrix of a 3-D image from (i, j, k, 1) to RAS mm."""
    matrix = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    matrix[:3, :3] = direction * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return RAS_TO_LPS @ matrix
