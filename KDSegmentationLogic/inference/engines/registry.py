"""Which engine and which device: chosen by a rule that is told to the user."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.errors import DeviceError
from KDSegmentationLogic.inference.engines.base import Engine

DEVICES = ("cpu", "cuda", "mps")


def _open_torch(bundle: Bundle, member: Member, device: str) -> Engine:
    from KDSegmentationLogic.bundles.weights import load_network
    from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine

    return TorchEngine(load_network(bundle, member), member.temperature, device)


ENGINES: dict[str, Callable[[Bundle, Member, str], Engine]] = {"torch": _open_torch}


def open_engine(name: str, bundle: Bundle, member: Member, device: str) -> Engine:
    """The network of ``member`` ready to run; ``name`` is a key of ``ENGINES`` or "auto"."""
    if name == "auto":
        name = "torch"
    if name not in ENGINES:
        raise DeviceError(
            f"There is no engine called {name}.", f"Choose one of: auto, {', '.join(ENGINES)}."
        )
    return ENGINES[name](bundle, member, device)


def choose_device(wanted: str) -> tuple[str, str]:
    """(device, the reason in words). ``wanted``: auto, cpu, cuda or mps.

    Raises
    ------
    DeviceError : unknown name, or that device is not there: no silent fall back.
    """
    if wanted not in ("auto", *DEVICES):
        raise DeviceError(
            f"There is no device called {wanted}.", f"Choose one of: auto, {', '.join(DEVICES)}."
        )
    if importlib.util.find_spec("torch") is None:
        raise DeviceError("The package torch is not installed.", "Install torch first.")
    import torch

    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if wanted == "auto":
        for device, reason in (("cuda", "CUDA GPU found"), ("mps", "Apple GPU found")):
            if present[device]:
                return device, reason
        return "cpu", "no GPU found"
    if not present[wanted]:
        raise DeviceError(
            f"The device {wanted} is not available to torch here.",
            "Choose auto or cpu, or install the build of torch for this device.",
        )
    return wanted, "chosen by the user"


def available_cores() -> int:
    """Cores that this process may use, not those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
