"""What can be done with a segmentation: look at its structures, give it surfaces, save it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import slicer


@dataclass(frozen=True)
class Structure:
    """One segment. ``color``: 0 to 255 each; ``volume_ml``: in the world."""

    segment_id: str
    name: str
    color: tuple[int, int, int]
    visible: bool
    volume_ml: float


def structures(node: slicer.vtkMRMLSegmentationNode) -> list[Structure]:
    """The segments of a segmentation in their order."""
    raise NotImplementedError


def set_visible(node: slicer.vtkMRMLSegmentationNode, segment_id: str, visible: bool) -> None:
    """Show or hide one segment in all views."""
    raise NotImplementedError


def set_color(
    node: slicer.vtkMRMLSegmentationNode, segment_id: str, color: tuple[int, int, int]
) -> None:
    """Colour one segment, 0 to 255 each."""
    raise NotImplementedError


def show_surfaces(
    node: slicer.vtkMRMLSegmentationNode, shown: bool, smoothing: float = 0.5
) -> None:
    """Make closed surfaces for the 3-D views, or take them away.

    smoothing : 0 (none) to 1.
    """
    raise NotImplementedError


def save(
    node: slicer.vtkMRMLSegmentationNode,
    path: Path | str,
    volume: slicer.vtkMRMLVolumeNode | None = None,
) -> list[Path]:
    """Write a segmentation in the format that the name ends in; the files written.

    Files hold the volume's own coordinates, without parent transforms, and so fit the file
    that the volume came from.

    Parameters
    ----------
    path : ``.seg.nrrd``; ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``: a label map on the
        volume's grid; ``.stl``: a file for each structure, LPS; ``.dcm``: DICOM SEG.
    volume : the volume segmented; none: the one that the segmentation was made of.

    Raises
    ------
    SceneError : no such format, no volume, nothing segmented, no source series (DICOM SEG).
    DependencyError : DICOM SEG needs highdicom.
    """
    raise NotImplementedError
