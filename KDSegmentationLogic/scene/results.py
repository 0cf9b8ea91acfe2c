"""What can be done with a segmentation: look at its structures, give it surfaces, save it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk

from KDSegmentationLogic import __version__
from KDSegmentationLogic.errors import SceneError
from KDSegmentationLogic.files import atomic_file
from KDSegmentationLogic.imaging.dicom_file import is_dicom
from KDSegmentationLogic.imaging.dicomseg import TISSUE, Coded, CodedSegment, write_dicom_seg
from KDSegmentationLogic.imaging.writing import write_image
from KDSegmentationLogic.scene import edits
from KDSegmentationLogic.scene.files import save_segmentation
from KDSegmentationLogic.scene.rendering import surfaces
from KDSegmentationLogic.scene.segmentations import LABELMAP, labels_from_segmentation
from KDSegmentationLogic.scene.volumes import parent_to_world

_LABEL_MAPS = (".nii.gz", ".nii", ".nrrd", ".mha")
_SMOOTHING = "Smoothing factor"


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
    display = node.GetDisplayNode()
    stretch = abs(float(np.linalg.det(parent_to_world(node))))
    counts: dict[slicer.vtkOrientedImageData, np.ndarray] = {}
    found = []
    for identifier, segment in _segments(node):
        layer = segment.GetRepresentation(LABELMAP)
        volume = 0.0
        if layer is not None and layer.GetNumberOfPoints():
            if layer not in counts:
                counts[layer] = _voxels_by_value(edits.layer_array(layer))
            value = segment.GetLabelValue()
            voxels = int(counts[layer][value]) if value < len(counts[layer]) else 0
            volume = voxels * float(np.prod(layer.GetSpacing())) * stretch / 1000
        visible = display is None or display.GetSegmentVisibility(identifier)
        red, green, blue = (round(255 * channel) for channel in segment.GetColor())
        color = (red, green, blue)
        found.append(Structure(identifier, segment.GetName(), color, bool(visible), volume))
    return found


def set_visible(node: slicer.vtkMRMLSegmentationNode, segment_id: str, visible: bool) -> None:
    """Show or hide one segment in all views."""
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSegmentVisibility(segment_id, visible)


def set_color(
    node: slicer.vtkMRMLSegmentationNode, segment_id: str, color: tuple[int, int, int]
) -> None:
    """Colour one segment, 0 to 255 each."""
    node.GetSegmentation().GetSegment(segment_id).SetColor([channel / 255 for channel in color])


def show_surfaces(
    node: slicer.vtkMRMLSegmentationNode, shown: bool, smoothing: float = 0.5
) -> None:
    """Make closed surfaces for the 3-D views, or take them away.

    smoothing : 0 (none) to 1.
    """
    segmentation = node.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName()
    old = segmentation.GetConversionParameter(_SMOOTHING)
    same = bool(old) and float(old) == smoothing
    if shown and same and segmentation.ContainsRepresentation(name):
        return
    node.RemoveClosedSurfaceRepresentation()
    if shown:
        segmentation.SetConversionParameter(_SMOOTHING, str(min(max(smoothing, 0.0), 1.0)))
        node.CreateClosedSurfaceRepresentation()


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
    ImageError : the file cannot be written; DICOM SEG: the series is not what was segmented.
    DependencyError : DICOM SEG needs highdicom.
    """
    path = Path(path)
    name = path.name.lower()
    if name.endswith(".seg.nrrd"):
        save_segmentation(node, path)
    elif name.endswith(".stl"):
        return _save_surfaces(node, path)
    elif name.endswith(".dcm"):
        _save_dicom(node, path, _volume(node, volume))
    elif name.endswith(_LABEL_MAPS):
        write_image(labels_from_segmentation(node, _volume(node, volume))[0], path)
    else:
        raise SceneError(
            f"{path} has an ending that is not written.",
            f"Use one of .seg.nrrd {' '.join(_LABEL_MAPS)} .stl .dcm.",
        )
    return [path]


def files_of(node: slicer.vtkMRMLSegmentationNode, path: Path | str) -> list[Path]:
    """The files that ``save`` would write."""
    path = Path(path)
    if path.suffix.lower() != ".stl":
        return [path]
    return _surface_files([one.name for one in structures(node) if one.volume_ml > 0], path)


def dicom_files(volume: slicer.vtkMRMLVolumeNode) -> list[Path]:
    """The files of the DICOM series that a volume was loaded from.

    Raises
    ------
    SceneError : it came from no series, or its files are gone.
    """
    database = getattr(slicer, "dicomDatabase", None)
    instances = (volume.GetAttribute("DICOM.instanceUIDs") or "").split()
    names = [database.fileForInstance(uid) for uid in instances] if database else []
    storage = volume.GetStorageNode()
    if not names and storage is not None:
        count = storage.GetNumberOfFileNames()
        names = [storage.GetFileName(), *(storage.GetNthFileName(n) for n in range(count))]
    files = [Path(name) for name in dict.fromkeys(names) if name]
    if not files or not all(file.is_file() and is_dicom(file) for file in files):
        raise SceneError(
            f"The volume {volume.GetName()} has no DICOM series to refer to.",
            "Load the volume with the module DICOM, or save as .seg.nrrd.",
        )
    return files


def _segments(
    node: slicer.vtkMRMLSegmentationNode,
) -> Iterator[tuple[str, slicer.vtkSegment]]:
    segmentation = node.GetSegmentation()
    for identifier in segmentation.GetSegmentIDs():
        yield identifier, segmentation.GetSegment(identifier)


def _voxels_by_value(array: np.ndarray) -> np.ndarray:
    values = int(array.max()) + 1
    counts = np.zeros(values, np.int64)
    for plane in array:  # bincount makes 8 bytes of each voxel
        counts += np.bincount(plane.ravel(), minlength=values)
    return counts


def _volume(
    node: slicer.vtkMRMLSegmentationNode, volume: slicer.vtkMRMLVolumeNode | None
) -> slicer.vtkMRMLVolumeNode:
    volume = volume or edits.volume_of(node)
    if volume is None:
        raise SceneError(
            f"The volume that {node.GetName()} was made of is gone.",
            "Load it again, or save as .seg.nrrd.",
        )
    return volume


def _save_surfaces(node: slicer.vtkMRMLSegmentationNode, path: Path) -> list[Path]:
    filled = [one for one in structures(node) if one.volume_ml > 0]
    if not filled:
        raise SceneError(f"{node.GetName()} has no voxels.", "Segment something first.")
    written = []
    name = slicer.vtkSegmentationConverter.GetClosedSurfaceRepresentationName()
    with surfaces([node]):
        for one, file in zip(
            filled, _surface_files([one.name for one in filled], path), strict=True
        ):
            mesh = node.GetSegmentation().GetSegment(one.segment_id).GetRepresentation(name)
            _write_mesh(mesh, file)
            written.append(file)
    return written


def _surface_files(names: Sequence[str], path: Path) -> list[Path]:
    """A file for each structure, named after it; numbered where two have one name."""
    if len(names) < 2:
        return [path]
    files: list[Path] = []
    for name in names:
        plain = re.sub(r"[^\w.-]+", "_", name)
        stem = f"{path.stem}-{plain}"
        stems = [stem, *(f"{stem}-{n}" for n in range(2, len(names) + 1))]
        candidates = (path.with_name(one + path.suffix) for one in stems)
        files.append(next(one for one in candidates if one not in files))
    return files


def _write_mesh(mesh: vtk.vtkPolyData, path: Path) -> None:
    """Binary STL in LPS, as Slicer writes it."""
    turn = vtk.vtkTransform()
    turn.Scale(-1, -1, 1)
    turned = vtk.vtkTransformPolyDataFilter()
    turned.SetInputData(mesh)
    turned.SetTransform(turn)
    writer = vtk.vtkSTLWriter()
    writer.SetInputConnection(turned.GetOutputPort())
    writer.SetFileTypeToBinary()
    writer.SetHeader("KDSegmentation. SPACE=LPS")
    with atomic_file(path) as temporary:
        writer.SetFileName(str(temporary))
        if not writer.Write():
            raise SceneError(
                f"{path} cannot be written.", "Choose a folder that may be written to."
            )


def _save_dicom(
    node: slicer.vtkMRMLSegmentationNode, path: Path, volume: slicer.vtkMRMLVolumeNode
) -> None:
    files = dicom_files(volume)
    labels, names = labels_from_segmentation(node, volume)
    coded = []
    for (value, name), (_, segment) in zip(names.items(), _segments(node), strict=True):
        red, green, blue = (round(255 * channel) for channel in segment.GetColor())
        category, kind, modifier = _codes(segment)
        color = (red, green, blue)
        coded.append(CodedSegment(value, name, color, category or TISSUE, kind or TISSUE, modifier))
    model = node.GetAttribute(edits.MODEL) or "Slicer"
    write_dicom_seg(labels, coded, files, path, model, __version__)


def _codes(segment: slicer.vtkSegment) -> list[Coded | None]:
    """Category, type and modifier from the segment's terminology entry; None where missing."""
    # not by GetTerminology, which older builds of Slicer lack
    entry = vtk.reference("")
    segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)
    parts = str(entry).split("~")[1:4]
    codes: list[Coded | None] = []
    for part in [*parts, "", "", ""][:3]:
        scheme, value, meaning = [*part.split("^"), "", "", ""][:3]
        codes.append((scheme, value, meaning) if scheme and value and meaning else None)
    return codes
