"""Which model fits what is loaded. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.scene.view.text import channel as channel_text
from KDSegmentationLogic.scene.view.text import listed
from KDSegmentationLogic.scene.view.text import tr as _

_KINDS = ("student", "network", "ensemble")


def channel_title(bundle: Bundle, index: int) -> str:
    """The title of a channel's selector: its name and modality."""
    channel = bundle.description.channels[index]
    return channel_text(channel.name, channel.modality) + ":"


def proposal(chosen: Bundle, filled: Sequence[bool], models: Sequence[Bundle]) -> Bundle | None:
    """The model to propose where the chosen one needs channels that are not loaded.

    Parameters
    ----------
    filled : for each channel of the chosen model, whether a volume is chosen.
    models : all installed models.

    Returns
    -------
    Of the models that need nothing but the filled channels and share a structure with the
    chosen one: the one that uses most channels, has most of the structures, and is a student.
    None where nothing lacks, nothing is loaded or nothing fits.
    """
    names = [channel.name for channel in chosen.description.channels]
    there = {name for name, full in zip(names, filled, strict=True) if full}
    if not there or len(there) == len(names):
        return None
    structures = _structures(chosen)

    def fit(model: Bundle) -> tuple[int, int, int]:
        needs = len(model.description.channels)
        return needs, len(structures & _structures(model)), -_KINDS.index(model.description.kind)

    able = [
        model
        for model in models
        if {channel.name for channel in model.description.channels} <= there
        and structures & _structures(model)
    ]
    return max(able, key=fit, default=None)


def proposal_text(chosen: Bundle, filled: Sequence[bool], proposed: Bundle) -> str:
    """The sentence above the button that takes the proposal."""
    channels = chosen.description.channels
    lacking = [c.name for c, full in zip(channels, filled, strict=True) if not full]
    used = [c.name for c in proposed.description.channels]
    return _("No {lacking} is chosen. {model} was trained on {used} alone.").format(
        lacking=listed(lacking), model=proposed.description.title, used=listed(used)
    )


def second_model(first: Bundle, models: Sequence[Bundle]) -> Bundle | None:
    """What to compare a model with at first: its relative, else any of the same channels."""
    by_name = {model.name: model for model in models if model.name != first.name}
    relative = by_name.get(first.description.relative or "")
    if relative is not None:
        return relative
    channels = [channel.name for channel in first.description.channels]
    for model in by_name.values():
        same = [channel.name for channel in model.description.channels] == channels
        if same and _structures(first) & _structures(model):
            return model
    return None


def first_model(models: Sequence[Bundle]) -> Bundle | None:
    """What is chosen when the module is opened: a student, since it answers at once."""
    ordered = sorted(models, key=lambda model: _KINDS.index(model.description.kind))
    return ordered[0] if ordered else None


def guessed_volumes(
    model: Bundle, chosen: Sequence[str | None], loaded: Sequence[tuple[str, str]]
) -> tuple[str | None, ...]:
    """The volumes to choose at first; what the user chose stays.

    A volume is taken for the channel whose name is a word of the volume's name; the only one
    that is loaded is taken for a model's only channel. Nothing else is guessed: a wrong image
    in a channel gives a wrong result in silence.

    Parameters
    ----------
    chosen : a node ID or None for each channel. loaded : (ID, name) of the scene's volumes.
    """
    channels = [channel.name.casefold() for channel in model.description.channels]
    volumes = list((*chosen, *(None,) * len(channels))[: len(channels)])
    if len(channels) == 1 and len(loaded) == 1:
        return (volumes[0] or loaded[0][0],)
    for n, channel in enumerate(channels):
        named = [key for key, name in loaded if channel in _words(name) and key not in volumes]
        if volumes[n] is None and len(named) == 1:
            volumes[n] = named[0]
    return tuple(volumes)


def carried_volumes(
    old: Bundle | None, volumes: Sequence[str | None], new: Bundle
) -> tuple[str | None, ...]:
    """The volumes that stay when another model is chosen: those of channels of the same name."""
    names = [channel.name for channel in old.description.channels] if old else []
    kept = dict(zip(names, volumes, strict=False))
    return tuple(kept.get(channel.name) for channel in new.description.channels)


def _words(name: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in name.casefold()).split()


def _structures(bundle: Bundle) -> set[str]:
    return {label.name for label in bundle.description.labels}
