"""What was asked of ``SceneLogic`` and how far it is; nodes are held by ID, never themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import slicer
import vtk

from KDSegmentationLogic.errors import KDSegError

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class Task:
    """One run that was asked for; changed only while ``SceneLogic`` polls or cancels.

    Attributes
    ----------
    title : what is done, for a list of tasks.
    state : the last three of ``State`` are ends.
    fraction : done, 0 to 1; never goes back. text : what is being done now, or how it ended.
    seconds_left : estimated; None where nothing is known yet.
    notices : sentences for the user that are no errors, e.g. that a GPU's memory did not do.
    error : of a failed task, with cause and remedy.
    node_ids : of the nodes that were made; empty until the end. A comparison has, in this
        order, first, second, disagreement, tables, and uncertainty where there is one.
    """

    def __init__(self, title: str, on_done: Callable[[Task], None] | None = None) -> None:
        self.title = title
        self.state: State = "waiting"
        self.fraction = 0.0
        self.text = "waiting"
        self.seconds_left: float | None = None
        self.notices: list[str] = []
        self.error: KDSegError | None = None
        self.node_ids: tuple[str, ...] = ()
        self.on_done = on_done

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def nodes(self) -> list[slicer.vtkMRMLNode]:
        """Those of the nodes made that are still in the scene."""
        found = (slicer.mrmlScene.GetNodeByID(node_id) for node_id in self.node_ids)
        return [node for node in found if node is not None]


class Held:
    """A node that may be gone when it is needed: ID and a reference that keeps nothing alive.

    The ID alone would not do: after a scene was closed, another node can have it.
    """

    def __init__(self, node: slicer.vtkMRMLNode) -> None:
        self.node_id: str = node.GetID()
        self.name: str = node.GetName()
        self._reference = vtk.vtkWeakReference()
        self._reference.Set(node)

    def get(self) -> slicer.vtkMRMLNode | None:
        """The node, or None where it is no longer in the scene."""
        node = self._reference.Get()
        known = node is not None and slicer.mrmlScene.GetNodeByID(self.node_id) is node
        return node if known else None
