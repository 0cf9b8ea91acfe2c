"""Where a node hangs in the subject hierarchy, the tree of the Data module."""

from __future__ import annotations

import slicer


def place_beside(node: slicer.vtkMRMLNode, neighbour: slicer.vtkMRMLNode) -> None:
    """Hang ``node`` under the item (study, patient, folder) that ``neighbour`` hangs under.

    The application makes an item for every node by a Qt plugin; where there is none, items
    are made here.
    """
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    top = tree.GetSceneItemID()
    beside = tree.GetItemByDataNode(neighbour) or tree.CreateItem(top, neighbour)
    parent = tree.GetItemParent(beside)
    item = tree.GetItemByDataNode(node) or tree.CreateItem(parent, node)
    tree.SetItemParent(item, parent)
