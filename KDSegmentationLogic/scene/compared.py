"""A comparison of two models as nodes of the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import SimpleITK as sitk
import slicer

from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.scene import segmentations, tables, volumes

DIFFERENCE_COLOR = (235, 70, 130)


@dataclass(frozen=True)
class ModelLabels:
    """What one model said: label map on the volume's grid, and what its values mean."""

    title: str
    labels: sitk.Image
    structures: tuple[Label, ...]


@dataclass(frozen=True)
class ComparisonNodes:
    """``disagreement`` is a segmentation of one segment: the voxels where the two differ."""

    first: slicer.vtkMRMLSegmentationNode
    second: slicer.vtkMRMLSegmentationNode
    disagreement: slicer.vtkMRMLSegmentationNode
    uncertainty: slicer.vtkMRMLScalarVolumeNode | None
    tables: tuple[slicer.vtkMRMLTableNode, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Node IDs: first, second, disagreement, tables, and uncertainty where there is one."""
        nodes = [self.first, self.second, self.disagreement, *self.tables]
        return tuple(node.GetID() for node in [*nodes, self.uncertainty] if node is not None)

    @staticmethod
    def of(ids: Sequence[str]) -> ComparisonNodes | None:
        """The nodes of such IDs; None where one is gone."""
        nodes = [slicer.mrmlScene.GetNodeByID(node_id) for node_id in ids]
        if len(nodes) < 3 or None in nodes:
            return None
        tables = tuple(node for node in nodes[3:] if node.IsA("vtkMRMLTableNode"))
        uncertainty = nodes[3 + len(tables)] if len(nodes) > 3 + len(tables) else None
        return ComparisonNodes(nodes[0], nodes[1], nodes[2], uncertainty, tables)


def add_comparison(
    volume: slicer.vtkMRMLVolumeNode,
    models: tuple[ModelLabels, ModelLabels],
    disagreement: sitk.Image,
    uncertainty: sitk.Image | None,
    rows: Mapping[str, Sequence[Mapping[str, tables.Value]]],
    uncertain: str | None = None,
) -> ComparisonNodes:
    """Add both segmentations, where they differ, the uncertainty in colours, and tables.

    Of the segmentations the first is shown, the others are hidden: three on top of each
    other cannot be read.

    Parameters
    ----------
    disagreement : uint8, 1 where the models differ, on the volume's grid.
    uncertainty : 0 to 1 on the volume's grid, e.g. the second model's entropy.
    rows : of each table, by its title.
    uncertain : title of whom the uncertainty is, if not the second's.
    """
    first, second = (
        segmentations.segmentation_from_labels(m.labels, m.structures, volume, m.title)
        for m in models
    )
    difference = Label(1, "Disagreement", DIFFERENCE_COLOR)
    name = f"{models[0].title} against {models[1].title}"
    differs = segmentations.segmentation_from_labels(disagreement, (difference,), volume, name)
    for node in (second, differs):
        node.GetDisplayNode().SetVisibility(False)
    map_node = None
    if uncertainty is not None:
        title = f"Uncertainty of {uncertain or models[1].title}"
        map_node = volumes.volume_from_image(uncertainty, title, beside=volume)
        volumes.display_as_map(map_node, 0.0, 1.0)
    made = tuple(tables.table_from_rows(of_table, title) for title, of_table in rows.items())
    return ComparisonNodes(first, second, differs, map_node, made)
