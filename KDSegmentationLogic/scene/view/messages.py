"""Every sentence by which a panel says why something cannot be done, and what to do instead.

Each function takes the names to fill in and gives a ``Message``; failures of the layers
below come as ``KDSegError``, which has the same two parts. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from KDSegmentationLogic.errors import KDSegError
from KDSegmentationLogic.scene.view.text import control_key
from KDSegmentationLogic.scene.view.text import tr as _


@dataclass(frozen=True)
class Message:
    """One sentence of cause, one of remedy."""

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}"


def of_error(error: KDSegError) -> Message:
    """The same two sentences of an error that a lower layer raised."""
    return Message(error.cause, error.remedy)


def unexpected(detail: str) -> Message:
    """A fault of ours; the details are in the log."""
    return Message(
        _("Something went wrong that KD Segmentation did not foresee ({detail}).").format(
            detail=detail
        ),
        _("Try again; if it comes back, send the developers the text in the Python console."),
    )


def packages_missing(packages: str) -> Message:
    return Message(
        _("Not installed in this Slicer: {packages}.").format(packages=packages),
        _("Open the section Set-up and press the button that installs it."),
    )


def no_model_installed() -> Message:
    return Message(
        _("No model is installed."),
        _("Press Import and choose a model's folder or .zip file."),
    )


def model_gone(model: str) -> Message:
    return Message(
        _("The model {model} is not installed any more.").format(model=model),
        _("Choose another model, or import it again."),
    )


def channel_empty(channel: str) -> Message:
    return Message(
        _("The model needs a volume for {channel}, and none is chosen.").format(channel=channel),
        _("Load one, or choose it in the section Inputs."),
    )


def volume_empty(volume: str) -> Message:
    return Message(
        _("The volume {volume} has no voxels.").format(volume=volume),
        _("Choose a volume that holds an image."),
    )


def volume_twice(volume: str, first: str, second: str) -> Message:
    return Message(
        _("The volume {volume} is chosen for {first} and for {second}.").format(
            volume=volume, first=first, second=second
        ),
        _("Choose a volume of its own for each."),
    )


def licence_open(model: str, licence: str) -> Message:
    return Message(
        _("The licence of {model} ({licence}) was not accepted yet.").format(
            model=model, licence=licence
        ),
        _("Read it in the section Inputs and tick the box below it."),
    )


def needs_place(model: str, extent: str) -> Message:
    return Message(
        _("{model} was trained on boxes of about {extent} round one structure.").format(
            model=model, extent=extent
        ),
        _("Choose Click on a structure, or a region of about that size."),
    )


def roi_missing() -> Message:
    return Message(
        _("No region is chosen."), _("Press New region and drag its handles round the structure.")
    )


def roi_flat(region: str) -> Message:
    return Message(
        _("The region {region} has no extent yet.").format(region=region),
        _("Place it in a slice view."),
    )


def clicking() -> Message:
    return Message(
        _("In this mode every click segments one structure by itself."),
        _("Press Place points, then click on a structure in a slice view."),
    )


def click_missing() -> Message:
    return Message(
        _("No structure was clicked yet, so there is no place to compare at."),
        _("Press Place points and click on a structure, then compare."),
    )


def busy(what: str) -> Message:
    return Message(
        _("{what} is running.").format(what=what), _("Wait until it ends, or press Cancel.")
    )


def result_missing() -> Message:
    return Message(
        _("There is no segmentation yet."), _("Segment a volume, or choose a segmentation here.")
    )


def structures_missing(segmentation: str) -> Message:
    return Message(
        _("The segmentation {segmentation} holds no structure.").format(segmentation=segmentation),
        _("Segment again, or choose another segmentation."),
    )


def background_clicked() -> Message:
    return Message(
        _("There is no segmented structure under this click."),
        _("Click with {key} on a structure that is shown to remove it.").format(key=control_key()),
    )


def not_written(path: str, detail: str) -> Message:
    return Message(
        _("{path} could not be written ({detail}).").format(path=path, detail=detail),
        _("Choose a folder that you may write to and that has space left."),
    )


def second_missing() -> Message:
    return Message(
        _("Nothing to compare with is chosen."),
        _("Choose a second model, or a reference segmentation."),
    )


def second_is_first(model: str) -> Message:
    return Message(
        _("{model} would be compared with itself.").format(model=model),
        _("Choose another second model."),
    )


def other_structures(first: str, second: str) -> Message:
    return Message(
        _("{first} and {second} have no structure of the same name.").format(
            first=first, second=second
        ),
        _("Choose a model or reference that names the structures alike."),
    )


def other_channels(second: str, channels: str) -> Message:
    return Message(
        _("{second} takes other channels ({channels}).").format(second=second, channels=channels),
        _("Choose a second model with the same channels."),
    )


def comparison_missing() -> Message:
    return Message(_("Nothing was compared yet."), _("Press Compare first."))


def install_failed(packages: str, detail: str) -> Message:
    return Message(
        _("{packages} could not be installed ({detail}).").format(packages=packages, detail=detail),
        _("Check the network, or follow the instructions for installing without one."),
    )


def torch_extension_missing() -> Message:
    return Message(
        _("Slicer's PyTorch extension is not installed."),
        _("Install PyTorch in the Extensions Manager, restart Slicer, and come back here."),
    )


def sample_missing() -> Message:
    return Message(
        _("The sample image is not part of this installation."),
        _("Install the extension again, or load an image of your own."),
    )
