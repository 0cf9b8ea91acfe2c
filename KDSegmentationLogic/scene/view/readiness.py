"""Whether Segment and Compare can be pressed, and if not, why.

Plain data in, a ``Message`` or nothing out. Standard library only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.scene.view import messages
from KDSegmentationLogic.scene.view.messages import Message
from KDSegmentationLogic.scene.view.text import channel as channel_text
from KDSegmentationLogic.scene.view.text import listed, size

RegionMode = Literal["whole", "roi", "point"]


# As in the inference layer: a crop half as large again still shows what the model knows.
_CROP_TOLERANCE = 1.5


@dataclass(frozen=True)
class Volume:
    """What counts of a volume: name, whether it holds voxels, its edges in mm, its node's ID."""

    name: str
    filled: bool = True
    size_mm: tuple[float, float, float] | None = None
    key: str = ""


@dataclass(frozen=True)
class Roi:
    """What counts of a region: its name, and whether it has an extent."""

    name: str
    placed: bool = True


@dataclass(frozen=True)
class Situation:
    """Everything that decides whether a model can be run now.

    volumes : one entry a channel of the model, None where nothing is chosen.
    missing : packages that segmenting needs and that are not installed.
    running : what runs already, in words; empty where nothing does.
    chosen : the name of the model that the user chose, even where it is gone.
    clicked : whether there is a structure that was clicked on.
    """

    model: Bundle | None
    installed: int
    volumes: Sequence[Volume | None]
    region: RegionMode = "whole"
    roi: Roi | None = None
    licence_accepted: bool = True
    missing: Sequence[str] = ()
    running: str = ""
    chosen: str = ""
    clicked: bool = False


def why_not_segment(now: Situation) -> Message | None:
    """Why Segment cannot be pressed, the first thing to mend first; None where it can."""
    problem = why_not_pick(now) or _region_problem(now)
    if problem is None and now.region == "point":
        return messages.clicking()
    return problem


def why_not_pick(now: Situation) -> Message | None:
    """Why a click on a structure cannot be answered; None where it can."""
    if now.missing:
        return messages.packages_missing(listed(now.missing))
    if not now.installed:
        return messages.no_model_installed()
    if now.model is None:
        return messages.model_gone(now.chosen)
    problem = _volumes_problem(now.model, now.volumes)
    if problem is not None:
        return problem
    if not now.licence_accepted:
        return messages.licence_open(now.model.description.title, now.model.description.licence)
    return None


def why_not_compare(
    now: Situation,
    second: Bundle | None,
    reference: Collection[str] | None = None,
    reference_name: str = "",
) -> Message | None:
    """Why Compare cannot be pressed.

    ``reference`` holds the names of a reference segmentation's structures, where one was chosen
    in place of a second model.
    """
    problem = why_not_pick(now) or _region_problem(now)
    if problem is None and now.running:
        problem = messages.busy(now.running)
    if problem is None and now.region == "point" and not now.clicked:
        problem = messages.click_missing()
    if problem is not None:
        return problem
    assert now.model is not None
    first = now.model
    own = {_plain(label.name) for label in first.description.labels}
    if reference is not None:
        if not reference:
            return messages.structures_missing(reference_name)
        return (
            None
            if own & set(map(_plain, reference))
            else messages.other_structures(first.description.title, reference_name)
        )
    if second is None:
        return messages.second_missing()
    if second.name == first.name:
        return messages.second_is_first(first.description.title)
    wanted = [channel.name for channel in second.description.channels]
    if wanted != [channel.name for channel in first.description.channels]:
        return messages.other_channels(second.description.title, listed(wanted))
    if not own & {_plain(label.name) for label in second.description.labels}:
        return messages.other_structures(first.description.title, second.description.title)
    return None


def _volumes_problem(model: Bundle, volumes: Sequence[Volume | None]) -> Message | None:
    channels = model.description.channels
    seen: dict[str, str] = {}
    for n, channel in enumerate(channels):
        volume = volumes[n] if n < len(volumes) else None
        if volume is None:
            return messages.channel_empty(channel_text(channel.name, channel.modality))
        if not volume.filled:
            return messages.volume_empty(volume.name)
        # Two volumes may have one name.
        key = volume.key or volume.name
        if key in seen:
            return messages.volume_twice(volume.name, seen[key], channel.name)
        seen[key] = channel.name
    return None


def _region_problem(now: Situation) -> Message | None:
    assert now.model is not None
    if now.region == "roi":
        if now.roi is None:
            return messages.roi_missing()
        return None if now.roi.placed else messages.roi_flat(now.roi.name)
    extent = crop_extent(now.model)
    if now.region == "whole" and extent and not is_crop(now.volumes[0], extent):
        return messages.needs_place(now.model.description.title, size(extent))
    return None


def crop_extent(model: Bundle) -> tuple[float, float, float] | None:
    """The box (mm) that the model was trained on; None where it takes whole images."""
    view = model.description.field_of_view
    return view.extent_mm if view.kind == "crop" else None


def is_crop(volume: Volume | None, extent_mm: Sequence[float]) -> bool:
    """Whether a volume is itself about such a box round one structure.

    Edges are compared by length, whichever way the volume lies; inference checks by axis.
    """
    if volume is None or volume.size_mm is None:
        return False
    pairs = zip(sorted(volume.size_mm), sorted(extent_mm), strict=True)
    return all(edge <= _CROP_TOLERANCE * wanted for edge, wanted in pairs)


def _plain(name: str) -> str:
    """Names that differ in case, blanks, hyphens or underscores only are one name."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
