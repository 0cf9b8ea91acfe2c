"""Every architecture by name: from a bundle's plain settings to a network."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

import torch
from torch import nn

from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.dilated import DilatedNetwork2D
from KDSegmentationLogic.networks.plain_unet import PlainUNet
from KDSegmentationLogic.networks.pyramid import PyramidNetwork2D
from KDSegmentationLogic.networks.resnet import ResNet3D
from KDSegmentationLogic.networks.student import StudentUNet
from KDSegmentationLogic.networks.unet import UNet3D
from KDSegmentationLogic.networks.vnet import VNet3D

ARCHITECTURES: dict[str, type[SegmentationNetwork]] = {
    "dilated2d": DilatedNetwork2D,
    "plain_unet": PlainUNet,
    "pyramid2d": PyramidNetwork2D,
    "resnet3d": ResNet3D,
    "student_unet": StudentUNet,
    "unet3d": UNet3D,
    "vnet3d": VNet3D,
}

# Settings may come from a downloaded file: these stop one that would fill the memory.
LARGEST_NUMBER = 4096
LARGEST_NETWORK = 1_000_000_000


def build_network(name: str, arguments: Mapping[str, Any]) -> SegmentationNetwork:
    """The network ``name`` with random weights from torch's global generator.

    Parameters
    ----------
    name : a key of ``ARCHITECTURES``.
    arguments : keyword arguments of its constructor as plain JSON values (a list stands for a
        tuple); ``in_channels`` and ``classes`` are required.

    Raises
    ------
    BundleError : unknown name or argument, missing argument, wrong type or value.
    """
    if name not in ARCHITECTURES:
        raise BundleError(
            f"The architecture {name!r} is not known.",
            f"Use one of {_listed(ARCHITECTURES)}, or update KDSegmentation.",
        )
    constructor = ARCHITECTURES[name]
    checked = _checked(name, constructor, arguments)
    try:
        with torch.device("meta"):
            size = parameter_count(constructor(**checked))
    except (ValueError, RuntimeError) as error:
        raise BundleError(
            f"The architecture {name!r} cannot be built: {error}",
            "Correct the arguments of the architecture.",
        ) from error
    if size > LARGEST_NETWORK:
        raise BundleError(
            f"The architecture {name!r} would have {size:,} parameters.",
            f"Choose arguments that keep it under {LARGEST_NETWORK:,}.",
        )
    return constructor(**checked)


def parameter_count(module: nn.Module) -> int:
    """Number of trainable values in ``module``."""
    return sum(parameter.numel() for parameter in module.parameters())


def _checked(
    name: str, constructor: type[SegmentationNetwork], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments in the types that ``constructor`` declares; BundleError if one differs."""
    parameters = inspect.signature(constructor).parameters
    hints = get_type_hints(constructor.__init__)
    for argument in arguments:
        if argument not in parameters:
            raise BundleError(
                f"The architecture {name!r} has no argument {argument!r}.",
                f"It takes {_listed(parameters)}.",
            )
    for argument, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and argument not in arguments:
            raise BundleError(
                f"The architecture {name!r} needs the argument {argument!r}.",
                f"It takes {_listed(parameters)}.",
            )
    checked = {}
    for argument, value in arguments.items():
        value = tuple(value) if isinstance(value, list) else value
        if not _fits(value, hints[argument]):
            raise BundleError(
                f"The argument {argument!r} of the architecture {name!r} cannot be {value!r}.",
                f"Give {_described(hints[argument])}.",
            )
        checked[argument] = value
    return checked


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has the declared type: a flag, a count, a rate, or several counts."""
    if hint is bool:
        return type(value) is bool
    if hint is int:
        return type(value) is int and 1 <= value <= LARGEST_NUMBER
    if hint is float:
        return type(value) in (int, float) and 0 <= value < 1
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        length = len(value) if isinstance(value, tuple) else -1
        right = length >= 0 if Ellipsis in inner else length == len(inner)
        return right and all(_fits(entry, int) for entry in value)
    return any(_fits(value, choice) for choice in get_args(hint))


def _described(hint: Any) -> str:
    if hint is bool:
        return "true or false"
    if hint is int:
        return f"a whole number from 1 to {LARGEST_NUMBER}"
    if hint is float:
        return "a number from 0 to below 1"
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        count = "" if Ellipsis in inner else f"{len(inner)} "
        return f"a list of {count}whole numbers from 1 to {LARGEST_NUMBER}"
    return " or ".join(_described(choice) for choice in get_args(hint))


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names))
