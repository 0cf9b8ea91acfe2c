"""Clicks on structures in the slice views: a click adds one, a click with Ctrl removes one."""

from __future__ import annotations

import slicer
import vtk
from slicer.util import VTKObservationMixin

NODE_NAME = "KD Segmentation clicks"


class Clicks(VTKObservationMixin):
    """Slicer's place mode for points, while it is on.

    Slicer places points by clicks without a modifier only, so clicks with Ctrl are taken from
    the slice views themselves. On macOS VTK's Ctrl is the key Cmd, as it is Qt's.

    Parameters
    ----------
    added, removed : called with a position, world RAS mm. ended : called without arguments when
        the user leaves the mode in Slicer's own way (the right button, the tool bar).
    """

    def __init__(self, added, removed, ended):
        VTKObservationMixin.__init__(self)
        self._added = added
        self._removed = removed
        self._ended = ended
        self._node_id = None
        self._before = (None, None)
        self._seen = 0

    @property
    def active(self):
        """Whether clicks are waited for."""
        return self._node_id is not None

    def start(self):
        """Wait for clicks, until ``stop``."""
        if self.active:
            return
        self._before = _place_node()
        node = self._points()
        self._node_id = node.GetID()
        self._seen = 0
        markups = slicer.modules.markups.logic()
        markups.SetActiveList(node)
        markups.StartPlaceMode(True)
        self.addObserver(node, node.PointPositionDefinedEvent, self._placed)
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        self.addObserver(interaction, interaction.InteractionModeChangedEvent, self._left)
        layout = slicer.app.layoutManager()
        if layout is not None:
            # After the layout manager, which makes the views of a new layout.
            node, event = layout.layoutLogic().GetLayoutNode(), vtk.vtkCommand.ModifiedEvent
            self.addObserver(node, event, self._hear_views, "none", -10.0)
        self._hear_views()

    def stop(self):
        """Wait no longer; nothing stays in the scene."""
        if not self.active:
            return
        node_id, self._node_id = self._node_id, None
        self.removeObservers()
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        ours = _place_node()[0] == node_id
        node = slicer.mrmlScene.GetNodeByID(node_id)
        if node is not None:
            slicer.mrmlScene.RemoveNode(node)
        if ours:  # else the user has chosen another list meanwhile
            _set_place_node(*self._before)

    def _points(self):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", NODE_NAME)
        node.SetSaveWithScene(False)
        node.SetHideFromEditors(True)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetPointLabelsVisibility(False)
        return node

    def _hear_views(self, _layout=None, _event=None):
        """Listen to the slice views that are not listened to yet."""
        event = vtk.vtkCommand.LeftButtonPressEvent
        for interactor, _slice_node in _slice_views():
            if not self.hasObserver(interactor, event, self._pressed):
                # Before Slicer's own widgets, which may keep the event for themselves.
                self.addObserver(interactor, event, self._pressed, "none", 10.0)

    def _placed(self, node, _event):
        """Points that are defined since the last time; the one under the mouse is not yet."""
        defined = []
        for n in range(node.GetNumberOfControlPoints()):
            if node.GetNthControlPointPositionStatus(n) == node.PositionDefined:
                defined.append(n)
        for n in defined[self._seen :]:
            position = [0.0, 0.0, 0.0]
            node.GetNthControlPointPositionWorld(n, position)
            node.SetNthControlPointVisibility(n, False)
            self._added(tuple(position))
        self._seen = len(defined)

    def _pressed(self, interactor, _event):
        if not interactor.GetControlKey():
            return
        for other, slice_node in _slice_views():
            if other is interactor:
                x, y = interactor.GetEventPosition()
                position = slice_node.GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))
                self._removed(tuple(position[:3]))

    def _left(self, interaction, _event):
        if self.active and interaction.GetCurrentInteractionMode() != interaction.Place:
            self.stop()
            self._ended()


def _place_node():
    """(ID, class name) of what Slicer's place mode adds points to."""
    selection = slicer.app.applicationLogic().GetSelectionNode()
    return selection.GetActivePlaceNodeID(), selection.GetActivePlaceNodeClassName()


def _set_place_node(node_id, class_name):
    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetReferenceActivePlaceNodeClassName(class_name)
    there = node_id is not None and slicer.mrmlScene.GetNodeByID(node_id) is not None
    selection.SetReferenceActivePlaceNodeID(node_id if there else None)


def _slice_views():
    """(interactor, slice node) of the views that there are; none without a main window."""
    layout = slicer.app.layoutManager()
    if layout is None:
        return []
    widgets = [layout.sliceWidget(name) for name in layout.sliceViewNames()]
    return [(w.sliceView().interactor(), w.mrmlSliceNode()) for w in widgets]
