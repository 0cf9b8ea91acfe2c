"""Placing points beside what the user does in Slicer: layouts, and lists of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from Testing.module.acting import BOX, centre, pixel, view

Add = Callable[..., Any]


@pytest.fixture
def placing(host: Any, panels: Any, add_phantom: Add) -> Any:
    """A loaded phantom, and the mode Click on a structure chosen, not begun."""
    volume = add_phantom()
    host.events()
    host.click(panels.regionPanel.point, at=BOX)
    return volume


def selection() -> Any:
    import slicer

    return slicer.app.applicationLogic().GetSelectionNode()


def listeners(of: Any) -> int:
    """How many observers of any kind a view's interactor has."""
    return str(of.interactor()).count("vtkObserver")


def test_a_click_with_ctrl_is_heard_in_a_view_that_came_after_placing_began(
    host: Any, panels: Any, placing: Any
) -> None:
    import slicer

    layout = slicer.app.layoutManager()
    before = layout.sliceViewNames()
    host.click(panels.regionPanel.place)
    layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutThreeOverThreeView)
    host.events()
    name = next(n for n in layout.sliceViewNames() if n not in before)
    new = view(name)
    new.mrmlSliceNode().JumpSliceByCentering(*centre(placing))
    host.events()
    host.click(new, at=pixel(new, centre(placing)), control=True)
    assert "no segmented structure" in panels.runPanel.message.text
    heard = listeners(new)
    host.click(panels.regionPanel.place)
    assert listeners(new) < heard


@pytest.mark.usefixtures("placing")
def test_the_users_own_list_is_active_again_after_placing(host: Any, panels: Any) -> None:
    import slicer

    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "Own")
    slicer.modules.markups.logic().SetActiveList(own)
    host.click(panels.regionPanel.place)
    assert selection().GetActivePlaceNodeID() != own.GetID()
    host.click(panels.regionPanel.place)
    assert selection().GetActivePlaceNodeID() == own.GetID()
    assert selection().GetActivePlaceNodeClassName() == "vtkMRMLMarkupsLineNode"


@pytest.mark.usefixtures("placing")
def test_a_list_that_was_deleted_while_placing_is_not_active_again(host: Any, panels: Any) -> None:
    import slicer

    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "Own")
    slicer.modules.markups.logic().SetActiveList(own)
    host.click(panels.regionPanel.place)
    slicer.mrmlScene.RemoveNode(own)
    host.click(panels.regionPanel.place)
    assert selection().GetActivePlaceNodeID() is None


@pytest.mark.usefixtures("placing")
def test_a_list_that_was_chosen_while_placing_stays_active(host: Any, panels: Any) -> None:
    import slicer

    host.click(panels.regionPanel.place)
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Own")
    slicer.modules.markups.logic().SetActiveList(own)
    panels.clicks.stop()
    assert selection().GetActivePlaceNodeID() == own.GetID()
