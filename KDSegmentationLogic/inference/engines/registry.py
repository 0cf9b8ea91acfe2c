"""Which engine and which device: chosen by a rule that is told to the user."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.dependencies import missing, require
from KDSegmentationLogic.errors import DeviceError, KDSegError
from KDSegmentationLogic.inference.cores import available_cores as available_cores
from KDSegmentationLogic.inference.engines.base import Engine

DEVICES = ("cpu", "cuda", "mps")

Opener = Callable[[Bundle, Member, str, int], Engine]


def _open_torch(bundle: Bundle, member: Member, device: str, threads: int) -> Engine:
    import torch

    from KDSegmentationLogic.bundles.weights import load_network
    from KDSegmentationLogic.inference.engines.folding import fold
    from KDSegmentationLogic.inference.engines.head import has_second_head, read_head
    from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine

    torch.set_num_threads(threads)
    network = fold(load_network(bundle, member))
    head = read_head(bundle, member) if has_second_head(member) else None
    return TorchEngine(network, member.temperature, device, head=head)


def _open_openvino(bundle: Bundle, member: Member, device: str, threads: int) -> Engine:
    from KDSegmentationLogic.inference.engines.openvino_engine import open_openvino

    return open_openvino(bundle, member, device, threads)


def _open_onnxruntime(bundle: Bundle, member: Member, device: str, threads: int) -> Engine:
    from KDSegmentationLogic.inference.engines.onnx_engine import open_onnxruntime

    return open_onnxruntime(bundle, member, device, threads)


ENGINES: dict[str, Opener] = {
    "openvino": _open_openvino,
    "onnxruntime": _open_onnxruntime,
    "torch": _open_torch,
}
TITLES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "torch": "torch"}

_CPU_ONLY = ("openvino", "onnxruntime")

# Measured beside torch and ONNX Runtime: OpenVINO is the fastest or level with it, takes the least
# memory (benchmarks/peers.py), and its logits agree to 1e-6. Its instance norm would drift.
_FASTEST_IN_OPENVINO = ("student_unet", "unet3d", "resnet3d", "dilated2d")


@dataclass(frozen=True)
class Choice:
    """A device and an engine, and in words why."""

    device: str
    engine: str
    reason: str

    def __str__(self) -> str:
        return (
            f"Running on {self.device} with {TITLES.get(self.engine, self.engine)}: {self.reason}."
        )


def choose(device: str, engine: str, bundle: Bundle) -> Choice:
    """The device and the engine for a bundle, either of them ``auto`` or a name.

    Raises
    ------
    DeviceError : unknown name, that device is not there, or the engine does not run on it.
    DependencyError : the engine's package is not installed.
    """
    if device == "auto" and engine in _CPU_ONLY:
        device, where = "cpu", f"{TITLES[engine]} runs on the CPU"
    else:
        device, where = choose_device(device)
    name, why = choose_engine(engine, device, bundle)
    return Choice(device, name, f"{where}; {why}")


def choose_engine(wanted: str, device: str, bundle: Bundle) -> tuple[str, str]:
    """(engine, the reason in words). ``wanted``: ``auto`` or a key of ``ENGINES``.

    Raises
    ------
    DeviceError : unknown name, or the engine does not run on the device: no silent fall back.
    DependencyError : the engine's package is not installed.
    """
    if wanted == "auto":
        return _automatic(device, bundle)
    if wanted not in ENGINES:
        raise DeviceError(
            f"There is no engine called {wanted}.", f"Choose one of: auto, {', '.join(ENGINES)}."
        )
    if wanted in _CPU_ONLY and device != "cpu":
        raise DeviceError(
            f"The engine {wanted} runs on the CPU, not on {device}.",
            "Choose the engine auto or torch, or the device cpu.",
        )
    require(*_packages(wanted, bundle))
    return wanted, "engine chosen by the user"


def _automatic(device: str, bundle: Bundle) -> tuple[str, str]:
    engine, why = _automatic_choice(device, bundle)
    require(*_packages(engine, bundle))
    return engine, why


def _automatic_choice(device: str, bundle: Bundle) -> tuple[str, str]:
    if device != "cpu":
        return "torch", "the engine for GPUs"
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return "torch", f"no other engine was measured on {platform.machine()}"
    names = {member.architecture for member in bundle.description.members}
    others = sorted(names.difference(_FASTEST_IN_OPENVINO))
    if others:
        return "torch", f"no other engine was measured for {', '.join(others)}"
    absent = missing(*(name for name in _packages("openvino", bundle) if name != "torch"))
    if absent:
        return "torch", f"OpenVINO would be faster, but for it {' and '.join(absent)} is missing"
    return "openvino", "measured as the fastest for this network"


def _packages(engine: str, bundle: Bundle) -> tuple[str, ...]:
    """What an engine imports, and what converting needs where the bundle has no ONNX files."""
    if engine not in _CPU_ONLY:
        return ("torch",)
    members = bundle.description.members
    converting = () if all(member.onnx for member in members) else ("onnx",)
    return (engine, *converting, *(() if _runs_without_torch(bundle) else ("torch",)))


def _runs_without_torch(bundle: Bundle) -> bool:
    """One 3-D network, whose logits are all that is needed, with all that says what it is."""
    members = bundle.description.members
    return all(m.onnx and m.footprint and m.dimensions == 3 for m in members) and len(members) == 1


def open_engine(name: str, bundle: Bundle, member: Member, device: str, threads: int) -> Engine:
    """The network of ``member`` ready to run; ``name`` is a key of ``ENGINES``.

    Raises
    ------
    BundleError : the weights do not fit the architecture.
    DependencyError : a package that converting needs is missing.
    DeviceError : the engine cannot run this network.
    """
    try:
        return ENGINES[name](bundle, member, device, threads)
    except (KDSegError, MemoryError):
        raise
    except Exception as error:  # converters raise whatever they like
        raise DeviceError(
            f"The engine {name} cannot run {member.weights}: {_first_line(error)}",
            "Choose the engine torch.",
        ) from error


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
    if wanted == "cpu":
        return "cpu", "chosen by the user"
    if wanted == "auto" and (missing("torch") or not _may_have_gpu()):
        return "cpu", "no GPU found"
    require("torch")
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
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


def _may_have_gpu() -> bool:
    """Whether it is worth asking torch, whose import takes a second or two and 180 MB."""
    if "torch" in sys.modules or sys.platform == "darwin" or Path("/dev/kfd").exists():
        return True
    with contextlib.suppress(OSError):
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        return True
    return False


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
