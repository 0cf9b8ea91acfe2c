"""Left or right: named by position, for structures that come in pairs.

A model of, say, the hippocampus does not say which of the two it found. The rule, which
prefers to say nothing over saying the wrong thing:

1. A side is given only to a structure that comes in pairs, by its name or its code, and
   whose name or code does not say a side already.
2. The midline is the middle of the head or trunk (all that is brighter than Otsu's
   threshold) at the structure's level, within 30 mm above and below. It is taken only where
   the image shows both sides: at least 80 mm wide, and not cut off on one side only.
3. A structure whose centre lies more than 3 mm from the midline is Right where RAS x is
   greater, else Left. All positions are in the world, as the views show them.
4. Without a midline, of two structures of one name the one further right is Right.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
import slicer

from KDSegmentationLogic.bundles.description import Code, Label
from KDSegmentationLogic.scene.volumes import ijk_to_ras, parent_to_world

Side = Literal["Left", "Right"]

CODES = {"Left": Code("SCT", "7771000", "Left"), "Right": Code("SCT", "24028007", "Right")}

_PAIRED = re.compile(
    r"hippocamp|amygdal|thalam|caudate|putamen|pallid|accumbens|lateral ventricle|choroid plexus"
    r"|kidney|renal|adrenal|lung|femur|femoral|hip\b|humer|scapul|clavic|rib\b|eye|globe|lens"
    r"|optic nerve|cochlea|parotid|submandibular|carotid|jugular|iliac|psoas|gluteus|breast"
    r"|ovar|test[ei]|ureter",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"(?<![a-z])(left|right|bilateral|both)(?![a-z])|(^|[_\s-])[lr]h?([_\s-]|$)",
    re.IGNORECASE,
)

_LEVEL_MM = 30.0
_NARROWEST_MM = 80.0
CLEAR_MM = 3.0
_SAMPLES = 48  # along an axis; the midline needs no more
_CUT = 0.1  # of a face of the image that is body, not air


def wants_side(label: Label) -> bool:
    """Whether the structure comes in pairs, and nothing says which of the two it is."""
    codes = label.terminology
    if codes and (codes.modifier or _SAID.search(codes.type.meaning)):
        return False
    if _SAID.search(label.name):
        return False
    return bool(_PAIRED.search(label.name) or (codes and _PAIRED.search(codes.type.meaning)))


def sided(label: Label, side: Side | None) -> Label:
    """The label with its side in name and code; unchanged without a side."""
    if side is None:
        return label
    name = label.name
    if name[1:2].islower():
        name = name[0].lower() + name[1:]
    codes = label.terminology and replace(label.terminology, modifier=CODES[side])
    return replace(label, name=f"{side} {name}", terminology=codes)


def side_of(volume: slicer.vtkMRMLVolumeNode, centre: np.ndarray) -> Side | None:
    """On which side of the midline a world position (RAS mm) lies; None where unknown."""
    middle = midline(volume, float(centre[2]))
    if middle is None or abs(centre[0] - middle) <= CLEAR_MM:
        return None
    return "Right" if centre[0] > middle else "Left"


def midline(volume: slicer.vtkMRMLVolumeNode, level: float) -> float | None:
    """World x (RAS mm) of the body's middle at a world z; None where it cannot be told."""
    to_world = parent_to_world(volume) @ ijk_to_ras(volume)
    place = volume.GetID(), volume.GetImageData().GetMTime(), to_world.tobytes()
    if _body_of.get("place") != place:
        _body_of.update(place=place, points=_body(volume, to_world))
    points = _body_of["points"]
    if points is None:
        return None
    x = points[0][np.abs(points[2] - level) <= _LEVEL_MM]
    if not len(x):
        return None
    low, high = np.percentile(x, [1, 99])
    return float(low + high) / 2 if high - low >= _NARROWEST_MM else None


# Of the volume that was clicked last: finding the body takes longer than the rest of a click.
_body_of: dict[str, Any] = {}


def _body(volume: slicer.vtkMRMLVolumeNode, to_world: np.ndarray) -> np.ndarray | None:
    """Samples of what is brighter than air, world RAS mm, [3, n]; None for half a body."""
    array = slicer.util.arrayFromVolume(volume)
    step = [max(1, size // _SAMPLES) for size in array.shape]
    sample = np.ascontiguousarray(array[:: step[0], :: step[1], :: step[2]])
    if sample.min() == sample.max():
        return None
    image = sitk.GetImageFromArray(sample.astype(np.float32))
    body = sitk.GetArrayFromImage(sitk.OtsuThreshold(image, 0, 1)).astype(bool)
    matrix = to_world[:3, :3] * step[::-1]
    if _cut_on_one_side(body, matrix):
        return None
    k, j, i = np.nonzero(body)
    return matrix @ [i, j, k] + to_world[:3, 3:]


def _cut_on_one_side(body: np.ndarray, matrix: np.ndarray) -> bool:
    """Whether one of the two faces to the sides lies in the body and the other in air."""
    towards = np.abs(matrix[0]) / np.linalg.norm(matrix, axis=0)
    faces = np.moveaxis(body, 2 - int(np.argmax(towards)), 0)
    return bool((faces[0].mean() > _CUT) != (faces[-1].mean() > _CUT))
