"""Several processes train what one would: same losses, same weights."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.errors import DeviceError
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.hardware import Hardware, open_fabric
from KDSegmentationLogic.training.trainer import Trained, Trainer
from Testing.training import balls

# No batch norm, no dropout, and a loss that is a mean over samples: then the mean of the
# parts' gradients is the gradient of the whole batch.
MEMBER = Member(
    architecture="without_norm",
    arguments={"in_channels": 1, "classes": 2},
    weights="models/model.safetensors",
    sha256="0" * 64,
    patch=(8, 8, 8),
)

PROCESS = """
import sys
from pathlib import Path
import torch
from Testing.training import test_processes
torch.set_num_threads(1)
test_processes.in_process(Path(sys.argv[1]), int(sys.argv[2]))
"""


def register() -> None:
    """Make the architecture of ``MEMBER`` known: two convolutions."""
    import torch
    from torch import nn

    from KDSegmentationLogic.networks.base import SegmentationNetwork
    from KDSegmentationLogic.networks.registry import ARCHITECTURES

    class WithoutNorm(SegmentationNetwork):
        def __init__(self, in_channels: int, classes: int) -> None:
            super().__init__(in_channels, classes, (1, 1, 1), (1, 1, 1))
            self.first = nn.Conv3d(in_channels, 8, 3, padding=1)
            self.classifier = nn.Conv3d(8, classes, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.first(x).relu())

    ARCHITECTURES["without_norm"] = WithoutNorm


def train(folder: Path, processes: int) -> Trained:
    register()
    fabric = open_fabric(Hardware("cpu", devices=processes))
    how = balls.schedule(12, losses={"cross_entropy": 1.0}, batch=4, validate_every=3)
    made = balls.cases(3)
    trainer = Trainer(MEMBER, how, made, balls.cases(1, seed=1), 5, folder / "state", fabric)
    return trainer.run(Monitor())


def in_process(folder: Path, processes: int) -> None:
    trained = train(folder, processes)
    if os.environ["RANK"] == "0":
        (folder / "history.json").write_text(json.dumps(trained.history), "utf-8")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run_processes(folder: Path, count: int) -> list[dict[str, float]]:
    """Start ``count`` processes as torchrun does, with what it tells them."""
    folder.mkdir()
    shared = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": "1",
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(folder), str(count)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    history: list[dict[str, float]] = json.loads((folder / "history.json").read_text("utf-8"))
    return history


def test_two_processes_train_as_one_with_the_same_batch(tmp_path: Path) -> None:
    one, two = run_processes(tmp_path / "one", 1), run_processes(tmp_path / "two", 2)

    assert [entry["step"] for entry in two] == [3, 6, 9, 12]
    for ours, theirs in zip(two, one, strict=True):
        assert ours["cross_entropy"] == pytest.approx(theirs["cross_entropy"], rel=1e-5)
        assert ours["validation_dice"] == pytest.approx(theirs["validation_dice"], rel=1e-3)
    weights = [load_file(tmp_path / name / "state") for name in ("one", "two")]
    for name, tensor in weights[0].items():
        if name.startswith("network/"):
            assert weights[1][name].numpy() == pytest.approx(tensor.numpy(), rel=1e-3, abs=1e-5)


def test_a_device_that_is_not_there_is_refused_before_anything_starts() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    with pytest.raises(DeviceError, match="The device cuda is not available"):
        open_fabric(Hardware("cuda"))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"training cannot start on 1 x cpu.*precision"):
        open_fabric(Hardware("cpu", precision="8-tiny"))
