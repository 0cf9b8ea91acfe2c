"""What is said when a run ended well."""

from __future__ import annotations

import slicer

from KDSegmentationLogic.scene import results
from KDSegmentationLogic.scene.view.text import duration
from KDSegmentationLogic.scene.view.text import tr as _


def outcome_text(node: slicer.vtkMRMLNode, seconds: float) -> str:
    """How long it took and how much was found."""
    took = duration(seconds)
    if not node.IsA("vtkMRMLSegmentationNode"):
        return _("Done in {time}.").format(time=took)
    found = [s for s in results.structures(node) if s.volume_ml > 0]
    if not found:
        return _("Done in {time}: the model found no structure here.").format(time=took)
    volume = sum(structure.volume_ml for structure in found)
    if len(found) == 1:
        return _("Done in {time}: {name}, {volume:.2f} mL.").format(
            time=took, name=found[0].name, volume=volume
        )
    return _("Done in {time}: {count} structures, {volume:.2f} mL.").format(
        time=took, count=len(found), volume=volume
    )
