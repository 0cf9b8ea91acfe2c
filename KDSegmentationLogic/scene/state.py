"""Everything that the module's panels show, kept in the scene: it survives save and load.

The acceptance of a model's licence, and folders, are the user's and not the scene's: they
are not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import slicer

from KDSegmentationLogic.inference.pipeline import Settings

MODULE = "KDSegmentation"


@dataclass(frozen=True)
class ModuleState:
    """What the panels show. Nodes are given by ID; a node that is gone becomes None.

    volumes : of each channel of the model, in its order; None where none is chosen.
    queue : more volumes for a model of one channel, segmented one after another.
    region : which part; ``roi`` counts with "roi", the picking segmentation with "point".
    replace : a new run replaces this module's previous segmentation of the same volume.
    compared_with : "model" (``second_model``) or "reference" (``reference``, a segmentation).
    smoothing : of surfaces, 0 (none) to 1.
    comparison : node IDs as ``Task.node_ids`` of a comparison gives them.
    side_by_side : whether the layout of the comparison is shown; ``orientation`` is its.
    collapsed : names of the panels that are folded.
    """

    model: str = ""
    volumes: tuple[str | None, ...] = ()
    queue: tuple[str, ...] = ()
    region: Literal["whole", "roi", "point"] = "whole"
    roi: str | None = None
    device: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    memory_limit_gib: float | None = None
    replace: bool = False
    result: str | None = None
    picked: str | None = None
    surfaces: bool = False
    smoothing: float = 0.5
    compared_with: Literal["model", "reference"] = "model"
    second_model: str = ""
    reference: str | None = None
    comparison: tuple[str, ...] = ()
    side_by_side: bool = False
    orientation: Literal["Axial", "Coronal", "Sagittal"] = "Axial"
    save_as: Literal[".seg.nrrd", ".nii.gz", ".stl", ".dcm"] = ".seg.nrrd"
    collapsed: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        """How to run, for ``SceneLogic``."""
        return Settings(self.device, self.engine, self.threads, self.memory_limit_gib)


def state_node() -> slicer.vtkMRMLScriptedModuleNode:
    """The one node of the scene that holds the module's state; made where there is none."""
    raise NotImplementedError


def read_state(node: slicer.vtkMRMLScriptedModuleNode) -> ModuleState:
    """The state that the node holds; what is missing or makes no sense has its default."""
    raise NotImplementedError


def write_state(node: slicer.vtkMRMLScriptedModuleNode, state: ModuleState) -> None:
    """Store a state; observers of the node are told once, and only of a change."""
    raise NotImplementedError
