"""Everything that the module's panels show, kept in the scene: it survives save and load.

The acceptance of a model's licence, and folders, are the user's and not the scene's: they
are not here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import slicer

from KDSegmentationLogic.inference.pipeline import Settings

MODULE = "KDSegmentation"

_CLASS = "vtkMRMLScriptedModuleNode"
_NODE = ("roi", "result", "picked", "reference")
_NODES = ("volumes", "queue", "comparison")
_MOST = 10_000  # of a damaged file


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
    """The one node of the scene that holds the module's state; made where there is none.

    It is a singleton: loading a scene puts what was saved into this very node.
    """
    node = slicer.mrmlScene.GetSingletonNode(MODULE, _CLASS)
    if node is None:
        node = slicer.mrmlScene.CreateNodeByClass(_CLASS)
        node.UnRegister(None)
        node.SetSingletonTag(MODULE)
        node = slicer.mrmlScene.AddNode(node)
    if node.GetModuleName() != MODULE:  # closing a scene resets a singleton
        node.SetModuleName(MODULE)
        node.SetName(MODULE)
    return node


def read_state(node: slicer.vtkMRMLScriptedModuleNode) -> ModuleState:
    """The state that the node holds; what is missing or makes no sense has its default."""
    values: dict[str, Any] = {}
    for name, hint in _hints().items():
        if name in _NODE:
            values[name] = node.GetNodeReferenceID(name) if _there(node, name) else None
            continue
        if name in _NODES:
            values[name] = _nodes(node, name)
            continue
        try:
            value = json.loads(node.GetParameter(name))
        except ValueError:
            continue
        values[name] = _fitted(value, hint)
    return ModuleState(**{k: v for k, v in values.items() if v is not None})


def write_state(node: slicer.vtkMRMLScriptedModuleNode, state: ModuleState) -> None:
    """Store a state; observers of the node are told once, and only of a change."""
    if state == read_state(node):
        return
    with slicer.util.NodeModify(node):
        for name in _hints():
            value = getattr(state, name)
            if name in _NODE:
                node.SetNodeReferenceID(name, value)
            elif name in _NODES:
                _refer(node, name, value)
            else:
                node.SetParameter(name, json.dumps(value))


def _refer(node: slicer.vtkMRMLScriptedModuleNode, name: str, ids: tuple[str | None, ...]) -> None:
    """A role for each place: the places of one role would close up where a node is removed."""
    for place in range(max(len(ids), _places(node, name))):
        node.SetNodeReferenceID(f"{name}.{place}", ids[place] if place < len(ids) else None)
    node.SetParameter(name, json.dumps(len(ids)))


def _nodes(node: slicer.vtkMRMLScriptedModuleNode, name: str) -> tuple[str | None, ...]:
    found = [node.GetNodeReference(f"{name}.{place}") for place in range(_places(node, name))]
    ids = tuple(one.GetID() if one is not None else None for one in found)
    if name == "comparison" and None in ids:
        return ()
    return ids if name == "volumes" else tuple(one for one in ids if one is not None)


def _places(node: slicer.vtkMRMLScriptedModuleNode, name: str) -> int:
    text = node.GetParameter(name) or ""
    return min(int(text), _MOST) if text.isdecimal() else 0


def _there(node: slicer.vtkMRMLScriptedModuleNode, name: str) -> bool:
    return node.GetNodeReference(name) is not None


def _hints() -> dict[str, Any]:
    return get_type_hints(ModuleState)


def _fitted(value: Any, hint: Any) -> Any:
    """The value as its field wants it; None where it does not fit."""
    if get_origin(hint) is Literal:
        return value if value in get_args(hint) else None
    if get_origin(hint) is tuple:
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
        return tuple(value) if fits else None
    kinds = get_args(hint) or (hint,)
    if float in kinds and type(value) is int:
        value = float(value)
    return value if type(value) in kinds else None
