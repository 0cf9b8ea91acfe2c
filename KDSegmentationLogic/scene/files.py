"""Segmentations and scenes as Slicer's own files: ``.seg.nrrd`` and ``.mrb``.

A file appears whole or not at all. Storage nodes of the user's nodes are left alone, so
that Slicer's Save dialogue goes on offering the files the user chose.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import slicer

from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.files import atomic_file


def save_segmentation(node: slicer.vtkMRMLSegmentationNode, path: Path) -> None:
    """Write a ``.seg.nrrd`` with names, colours and codes, in the node's local coordinates.

    Raises
    ------
    SceneError : the ending is another, or the file cannot be written.
    """
    _check_ending(path, ".seg.nrrd")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    with atomic_file(path) as temporary:
        storage.SetFileName(str(temporary))
        if not storage.WriteData(node):
            raise SceneError(
                f"The segmentation {node.GetName()} could not be written to {path}.",
                "Check that there is room on the disk and that you may write there.",
            )


def load_segmentation(path: Path) -> slicer.vtkMRMLSegmentationNode:
    """Add the segmentation node of a ``.seg.nrrd``.

    Raises
    ------
    SceneError : the file is not there or is no segmentation.
    """
    _check_exists(path)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", _stem(path))
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    node.SetAndObserveStorageNodeID(storage.GetID())
    if not storage.ReadData(node):
        slicer.mrmlScene.RemoveNode(storage)
        slicer.mrmlScene.RemoveNode(node)
        raise SceneError(f"{path} is not a segmentation file.", "Choose a .seg.nrrd file.")
    node.CreateDefaultDisplayNodes()
    return node


def save_scene(path: Path) -> None:
    """Write the whole scene with its data as one ``.mrb``.

    Raises
    ------
    SceneError : the ending is another, or the file cannot be written.
    """
    _check_ending(path, ".mrb")
    with atomic_file(path) as temporary:
        if not slicer.mrmlScene.WriteToMRB(str(temporary)):
            raise SceneError(
                f"The scene could not be written to {path}.",
                "Check that there is room on the disk and that you may write there.",
            )


def load_scene(path: Path) -> None:
    """Replace the scene by that of an ``.mrb``.

    Raises
    ------
    SceneError : the file is not there or is no scene.
    """
    _check_exists(path)
    # Before the scene is cleared, and lost.
    if not zipfile.is_zipfile(path):
        raise SceneError(f"{path} is not a scene file.", "Choose a whole .mrb file.")
    if not slicer.mrmlScene.ReadFromMRB(str(path), True):
        raise SceneError(f"{path} could not be read as a scene.", "Save the scene again in Slicer.")


def _stem(path: Path) -> str:
    return Path(path).name.removesuffix(".nrrd").removesuffix(".seg")


def _check_exists(path: Path) -> None:
    if not Path(path).is_file():
        raise SceneError(f"There is no file {path}.", "Check the name.")


def _check_ending(path: Path, ending: str) -> None:
    if not Path(path).name.lower().endswith(ending):
        raise SceneError(f"{path} does not end in {ending}.", f"Give a name ending in {ending}.")
