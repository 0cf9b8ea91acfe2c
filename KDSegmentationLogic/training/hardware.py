"""Where a training runs: one process, several GPUs or several nodes, through Lightning Fabric.

Several processes share each batch: every one computes the gradient of its part, and the mean
of the gradients is applied everywhere (distributed data parallel). That is the gradient of the
whole batch for a loss that is a mean over samples. It is not quite for two things, which then
see a process's part only: batch norm takes its statistics from it (those of the first process
are kept), and a Dice loss over the batch becomes the mean of the parts' Dice.
"""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass
from typing import Any

from lightning_fabric import Fabric

from KDSegmentationLogic.errors import DeviceError
from KDSegmentationLogic.inference.engines.registry import choose_device


@dataclass(frozen=True)
class Hardware:
    """What to train on.

    device : auto, cpu, cuda or mps. devices : GPUs, or processes on a CPU, a node. precision :
    auto (bfloat16 where a GPU has it, else single), 32-true or bf16-mixed.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str = "auto"


def open_fabric(hardware: Hardware | None = None) -> Fabric:
    """Fabric, launched. Processes that ``torchrun`` started join each other.

    Without torchrun further processes are started with this one's command line.

    Raises
    ------
    DeviceError : the device is not there, or less often than asked for.
    """
    hardware = hardware or Hardware()
    device, _ = choose_device(hardware.device)
    devices, nodes = _processes(hardware)
    settings: dict[str, Any] = {"accelerator": device, "devices": devices, "num_nodes": nodes}
    if devices * nodes > 1:
        settings["strategy"] = "ddp"
    try:
        fabric = Fabric(precision=chosen_precision(hardware, device), **settings)
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        raise DeviceError(
            f"The training cannot start on {devices} x {device}: {str(error).splitlines()[0]}",
            "Ask for fewer devices or another precision.",
        ) from error
    if devices * nodes > 1:
        # Fabric sees to it for NCCL alone; a process that ends among gloo's threads may abort
        atexit.register(_leave)
    return fabric


def _leave() -> None:
    """Take leave of the other processes, if there are any."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _processes(hardware: Hardware) -> tuple[int, int]:
    """Processes a node, and nodes; torchrun has decided both where it started this one."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return hardware.devices, hardware.nodes
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return local, int(os.environ["WORLD_SIZE"]) // local


def chosen_precision(hardware: Hardware, device: str) -> Any:
    """What Fabric calls the precision of a training on this device: 32-true or bf16-mixed."""
    if hardware.precision != "auto":
        return hardware.precision
    import torch

    bfloat = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if bfloat else "32-true"
