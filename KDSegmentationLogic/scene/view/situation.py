"""From the panels' state and the scene's nodes to the plain facts that decisions rest on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.scene import results
from KDSegmentationLogic.scene.state import ModuleState
from KDSegmentationLogic.scene.view.readiness import Roi, Situation, Volume, crop_extent
from KDSegmentationLogic.scene.view.setup import lacking


def model_named(models: Sequence[Bundle], name: str) -> Bundle | None:
    """The installed model of that name."""
    return next((model for model in models if model.name == name), None)


def volume_facts(node: slicer.vtkMRMLVolumeNode | None) -> Volume | None:
    """What decisions need of a volume node; None where there is none."""
    if node is None:
        return None
    image = node.GetImageData()
    dimensions = image.GetDimensions() if image is not None else (0, 0, 0)
    if min(dimensions) < 1:
        return Volume(node.GetName(), False, None, node.GetID())
    edges = np.multiply(dimensions, node.GetSpacing())
    x, y, z = (float(edge) for edge in edges)
    return Volume(node.GetName(), True, (x, y, z), node.GetID())


def roi_facts(node: slicer.vtkMRMLMarkupsROINode | None) -> Roi | None:
    """What decisions need of a region."""
    if node is None:
        return None
    return Roi(node.GetName(), min(node.GetSize()) > 0)


def situation(
    state: ModuleState, models: Sequence[Bundle], licence_accepted: bool, running: str = ""
) -> Situation:
    """Everything that decides whether the chosen model can be run on the chosen volumes."""
    node = slicer.mrmlScene.GetNodeByID
    return Situation(
        model=model_named(models, state.model),
        installed=len(models),
        volumes=[volume_facts(node(i)) if i else None for i in state.volumes],
        region=state.region,
        roi=roi_facts(node(state.roi)) if state.roi else None,
        licence_accepted=licence_accepted,
        missing=[need.package for need in lacking()],
        running=running,
        chosen=state.model,
        clicked=clicked_place(state) is not None,
    )


def clicked_place(state: ModuleState) -> tuple[float, float, float] | None:
    """World RAS mm of the structure that was picked last; None where none is left."""
    node = slicer.mrmlScene.GetNodeByID(state.picked) if state.picked else None
    if node is None:
        return None
    found = [s.segment_id for s in results.structures(node) if s.volume_ml > 0]
    if not found:
        return None
    x, y, z = node.GetSegmentCenterRAS(found[-1])
    return x, y, z


def loaded_volumes() -> list[tuple[str, str]]:
    """(ID, name) of the scene's scalar volumes that hold an image; label maps are none."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [
        (node.GetID(), node.GetName())
        for node in nodes
        if not node.IsA("vtkMRMLLabelMapVolumeNode") and node.GetImageData() is not None
    ]


def first_box(
    volume: slicer.vtkMRMLVolumeNode, model: Bundle | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Centre and edges (world RAS mm) of the region that New region makes.

    In the middle of the volume; as large as what the model was trained on, else half of it.
    """
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    low, high = np.array(bounds[0::2]), np.array(bounds[1::2])
    extent = crop_extent(model) if model else None
    edges = np.minimum(extent, high - low) if extent else (high - low) / 2
    return tuple(((low + high) / 2).tolist()), tuple(edges.tolist())
