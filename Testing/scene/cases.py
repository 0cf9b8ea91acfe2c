"""Small volumes of any geometry, and where their structures are in the world."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from hypothesis import strategies as st

from KDSegmentationLogic.bundles.description import Code, Label, Terminology

SIZE = (9, 8, 7)
ANATOMY = Code("SCT", "123037004", "Anatomical Structure")
HIPPOCAMPUS = Code("SCT", "5366008", "Hippocampus")
LEFT = Code("SCT", "7771000", "Left")
LABELS = [
    Label(1, "Anterior", (230, 120, 60), Terminology(ANATOMY, HIPPOCAMPUS)),
    Label(
        3,
        "Posterior",
        (90, 160, 220),
        Terminology(ANATOMY, HIPPOCAMPUS, Code("SCT", "7771000", "Left")),
    ),
]


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    transform = vtk.vtkTransform()
    for turn, angle in zip(
        (transform.RotateX, transform.RotateY, transform.RotateZ), degrees, strict=True
    ):
        turn(angle)
    return slicer.util.arrayFromVTKMatrix(transform.GetMatrix())[:3, :3]


def image(
    spacing: tuple[float, float, float] = (0.9, 1.1, 2.5),
    origin: tuple[float, float, float] = (-20.0, 31.0, 7.5),
    degrees: tuple[float, float, float] = (10.0, 25.0, -40.0),
    flip: tuple[int, int, int] = (1, 1, 1),
) -> sitk.Image:
    """An image in LPS mm with all values different; ``flip`` may make it left-handed."""
    result = sitk.GetImageFromArray(np.arange(np.prod(SIZE), dtype=np.float32).reshape(SIZE[::-1]))
    result.SetSpacing(spacing)
    result.SetOrigin(origin)
    result.SetDirection((rotation(degrees) * flip).ravel().tolist())
    return result


_length = st.floats(0.3, 4.0)
_angle = st.floats(-180.0, 180.0)
_place = st.floats(-200.0, 200.0)
_sign = st.sampled_from([1, -1])
images = st.builds(
    image,
    spacing=st.tuples(_length, _length, _length),
    origin=st.tuples(_place, _place, _place),
    degrees=st.tuples(_angle, _angle, _angle),
    flip=st.tuples(_sign, _sign, _sign),
)


def label_map(like: sitk.Image, present: tuple[int, ...] = (1, 3)) -> sitk.Image:
    array = np.zeros(SIZE[::-1], np.uint8)
    for value in present:
        array[value : value + 2, 2:5, value : value + 4] = value
    array[-1, -1, -1] = present[-1]
    result = sitk.GetImageFromArray(array)
    result.CopyInformation(like)
    return result


def matrices() -> st.SearchStrategy[np.ndarray]:
    """Linear transforms in RAS mm: turned, moved, mirrored, scaled."""

    def build(degrees: tuple, scale: tuple, sign: int, move: tuple) -> np.ndarray:
        matrix = np.eye(4)
        matrix[:3, :3] = rotation(degrees) @ np.diag([sign * scale[0], scale[1], scale[2]])
        matrix[:3, 3] = move
        return matrix

    scale = st.floats(0.5, 2.0)
    return st.builds(
        build,
        st.tuples(_angle, _angle, _angle),
        st.tuples(scale, scale, scale),
        _sign,
        st.tuples(_place, _place, _place),
    )


def put_under(node: slicer.vtkMRMLTransformableNode, *matrices: np.ndarray) -> None:
    """Give the node a chain of parent transforms, the nearest first."""
    for matrix in matrices:
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        node.SetAndObserveTransformNodeID(transform.GetID())
        node = transform


def centroid_in_world(labels: sitk.Image, value: int, *matrices: np.ndarray) -> np.ndarray:
    """RAS mm, by SimpleITK and plain matrix products only."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(labels)
    x, y, z = statistics.GetCentroid(value)
    point = np.array([-x, -y, z, 1.0])
    for matrix in matrices:
        point = matrix @ point
    return point[:3]


def segment_centroid_in_world(node: slicer.vtkMRMLSegmentationNode, identifier: str) -> np.ndarray:
    """RAS mm, by what the scene holds: the segment's own grid and the node's transforms."""
    oriented = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(identifier, oriented)
    extent = oriented.GetExtent()
    scalars = vtk.util.numpy_support.vtk_to_numpy(oriented.GetPointData().GetScalars())
    voxels = np.argwhere(scalars.reshape(oriented.GetDimensions()[::-1]))[:, ::-1] + extent[0::2]
    matrix = vtk.vtkMatrix4x4()
    oriented.GetImageToWorldMatrix(matrix)
    point = slicer.util.arrayFromVTKMatrix(matrix) @ [*voxels.mean(axis=0), 1.0]
    if node.GetParentTransformNode() is not None:
        node.GetParentTransformNode().GetMatrixTransformToWorld(matrix)
        point = slicer.util.arrayFromVTKMatrix(matrix) @ point
    return point[:3]
