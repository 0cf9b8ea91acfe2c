"""The comparison that a state remembers, from the nodes that are still in the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import slicer

from KDSegmentationLogic.scene import edits
from KDSegmentationLogic.scene.compared import ComparisonNodes
from KDSegmentationLogic.scene.tables import Value, rows_from_table


@dataclass(frozen=True)
class ShownComparison:
    """``agreement`` and ``runs`` are rows; ``volume`` is None where it is gone."""

    nodes: ComparisonNodes
    agreement: list[dict[str, Value]]
    runs: list[dict[str, Value]]
    volume: slicer.vtkMRMLVolumeNode | None


def shown_comparison(node_ids: Sequence[str]) -> ShownComparison | None:
    """None where a node was removed: half a comparison shows nothing."""
    nodes = ComparisonNodes.of(node_ids)
    if nodes is None or len(nodes.tables) < 2:
        return None
    agreement, runs = (rows_from_table(table) for table in nodes.tables[:2])
    return ShownComparison(nodes, agreement, runs, edits.volume_of(nodes.first))
