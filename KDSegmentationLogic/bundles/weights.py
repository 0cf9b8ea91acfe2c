"""Between weight files and networks that are ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from KDSegmentationLogic.bundles.bundle import Bundle, refuse
from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.bundles.tensors import TensorHead, read_heads
from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.files import atomic_file
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network


def load_network(bundle: Bundle, member: Member) -> SegmentationNetwork:
    """One member's network on the CPU, in evaluation mode, its weights in float32.

    Loading runs no code of the bundle.

    Raises
    ------
    BundleError : the architecture cannot be built, or the weights do not fit it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    called = str(bundle.folder)
    network = _fitting(bundle, member, called)
    path = bundle.weight_path(member)
    try:
        # Copying into the network's own tensors also turns half precision into float32.
        network.load_state_dict(load_file(path))
    except (OSError, ValueError, SafetensorError) as error:
        refuse(called, f"the weights {member.weights} cannot be read ({error})")
    return network.eval()


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file atomically.

    Raises
    ------
    OSError : the disk is full, or may not be written to.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_file(path) as temporary:
            save_file(flat, temporary, metadata=metadata)
    except SafetensorError as error:  # its kind for every failure of the disk
        raise OSError(f"{path} cannot be written ({error})") from error


def check_networks(bundle: Bundle, called: str) -> None:
    """Refuse ``bundle``, as the one ``called``, if a member's weights do not fit its network.

    Reads the heads of the weight files only; no network takes memory.
    """
    with torch.device("meta"):
        for member in bundle.description.members:
            _fitting(bundle, member, called)


def _fitting(bundle: Bundle, member: Member, called: str) -> SegmentationNetwork:
    """The member's network, which its weights are known to fit but not in yet."""
    try:
        network = build_network(member.architecture, member.arguments)
    except BundleError as error:
        raise BundleError(f"The bundle {called}: {error.cause}", error.remedy) from error
    if network.dimensions != member.dimensions:
        refuse(
            called,
            f"it describes {member.dimensions}-D patches for {member.weights}, and its network"
            f" is {network.dimensions}-D",
        )
    try:
        problem = _difference(network.state_dict(), read_heads(bundle.weight_path(member)))
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({error})"
    if problem:
        refuse(called, f"the weights {member.weights} of {member.architecture!r} {problem}")
    return network


def _difference(wanted: Mapping[str, torch.Tensor], heads: Mapping[str, TensorHead]) -> str | None:
    """What names, shapes or kinds of the weights differ in from the network's."""
    for problem, names in (
        ("lack", wanted.keys() - heads.keys()),
        ("hold the unknown", heads.keys() - wanted.keys()),
    ):
        if names:
            return f"{problem} {min(names)!r} ({len(names)} such tensors)"
    for name, head in heads.items():
        shape = tuple(wanted[name].shape)
        if head.shape != shape:
            return f"give {name!r} the shape {head.shape}, not {shape}"
        if head.dtype.endswith(("F16", "F32", "F64")) != wanted[name].is_floating_point():
            return f"give {name!r} the type {head.dtype}"
    return None
