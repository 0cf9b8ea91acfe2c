"""From a bundle's weight file to a network that is ready to run."""

from __future__ import annotations

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.bundles.tensors import read_heads
from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network

_REMEDY = "Get the bundle again from where it came, or ask its authors."


def load_network(bundle: Bundle, member: Member) -> SegmentationNetwork:
    """One member's network on the CPU, in evaluation mode, its weights in float32.

    Loading runs no code of the bundle.

    Raises
    ------
    BundleError : the architecture cannot be built, or the weights do not fit it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network = build_network(member.architecture, member.arguments)
    except BundleError as error:
        raise BundleError(f"The bundle {bundle.folder}: {error.cause}", error.remedy) from error
    if network.dimensions != member.dimensions:
        raise BundleError(
            f"The bundle {bundle.folder} describes {member.dimensions}-D patches for"
            f" {member.weights}, and its network is {network.dimensions}-D.",
            _REMEDY,
        )
    path = bundle.weight_path(member)
    try:
        _compare(network, bundle, member)
        # Copying into the network's own tensors also turns half precision into float32.
        network.load_state_dict(load_file(path))
    except (OSError, ValueError, SafetensorError) as error:
        raise BundleError(f"The weights {path} cannot be read ({error}).", _REMEDY) from error
    return network.eval()


def _compare(network: SegmentationNetwork, bundle: Bundle, member: Member) -> None:
    """Refuse weights whose names, shapes or kinds are not the network's."""
    wanted = network.state_dict()
    heads = read_heads(bundle.weight_path(member))
    for problem, names in (
        ("lack", wanted.keys() - heads.keys()),
        ("hold the unknown", heads.keys() - wanted.keys()),
    ):
        if names:
            _refuse(bundle, member, f"{problem} {min(names)!r} ({len(names)} such tensors)")
    for name, head in heads.items():
        shape = tuple(wanted[name].shape)
        if head.shape != shape:
            _refuse(bundle, member, f"give {name!r} the shape {head.shape}, not {shape}")
        if head.dtype.endswith(("F16", "F32", "F64")) != wanted[name].is_floating_point():
            _refuse(bundle, member, f"give {name!r} the type {head.dtype}")


def _refuse(bundle: Bundle, member: Member, problem: str) -> None:
    raise BundleError(
        f"The weights {bundle.weight_path(member)} do not fit the architecture"
        f" {member.architecture!r}: they {problem}.",
        _REMEDY,
    )
