"""Which parts of a volume can be chosen for a model, and why not the others.

Standard library only.
"""

from __future__ import annotations

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.scene.view import messages
from KDSegmentationLogic.scene.view.messages import Message
from KDSegmentationLogic.scene.view.readiness import RegionMode, Volume, crop_extent, is_crop
from KDSegmentationLogic.scene.view.text import control_key, size
from KDSegmentationLogic.scene.view.text import tr as _


def why_not_whole(model: Bundle | None, volume: Volume | None) -> Message | None:
    """Why the whole volume cannot be chosen; None where it can."""
    extent = crop_extent(model) if model else None
    if model is None or extent is None or is_crop(volume, extent):
        return None
    return messages.needs_place(model.description.title, size(extent))


def fitting(mode: RegionMode, model: Bundle | None, volume: Volume | None) -> RegionMode:
    """The mode to show: the one chosen, or clicking where the model cannot have the whole."""
    if mode == "whole" and volume is not None and why_not_whole(model, volume):
        return "point"
    return mode


def hint(mode: RegionMode, model: Bundle | None, volume: Volume | None, placing: bool) -> str:
    """The line below the choice: what to do now, or why the whole volume is not offered."""
    if mode == "point":
        if placing:
            return _(
                "Click on a structure in a slice view. Further clicks add structures,"
                " {key}-click removes one."
            ).format(key=control_key())
        extent = crop_extent(model) if model else None
        if extent and not is_crop(volume, extent):
            return _(
                "This model knows boxes of about {extent} round one structure, not whole images:"
                " press Place points and click on the structure."
            ).format(extent=size(extent))
        return _("Press Place points, then click on a structure in a slice view.")
    if mode == "roi":
        return _("Only what lies inside of the region is segmented.")
    return ""
