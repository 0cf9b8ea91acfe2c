"""Several processes train what one would: same losses, same weights."""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.distillation.teaching import OnlineTeacher
from KDSegmentationLogic.errors import DeviceError
from KDSegmentationLogic.networks.registry import build_network
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
test_processes.in_process(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
"""

LOSSES: dict[str, dict[str, Any]] = {
    "labels": {"cross_entropy": 1.0},
    # its adapters are no part of the network that is wrapped
    "features": {
        "cross_entropy": 1.0,
        "variation_graph": {"weight": 1.0, "layers": ["bottleneck", "last"]},
    },
    "second head": {"cross_entropy": 1.0, "mse_probabilities": 1.0, "deviation": 1.0},
}


def register() -> None:
    """Make the architecture of ``MEMBER`` known: three convolutions, and a second head."""
    import torch
    from torch import nn

    from KDSegmentationLogic.networks.base import SegmentationNetwork
    from KDSegmentationLogic.networks.registry import ARCHITECTURES

    class WithoutNorm(SegmentationNetwork):
        def __init__(self, in_channels: int, classes: int, deviation: bool = False) -> None:
            super().__init__(in_channels, classes, (1, 1, 1), (1, 1, 1))
            self.first = nn.Conv3d(in_channels, 8, 3, padding=1)
            self.second = nn.Conv3d(8, 8, 1)
            self.classifier = nn.Conv3d(8, classes, 1)
            if deviation:
                self.deviation = nn.Conv3d(8, classes, 1)

        def layers(self) -> dict[str, nn.Module]:
            return {"bottleneck": self.first, "last": self.second}

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.second(self.first(x).relu()).relu())

        def forward_with_deviation(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            features = self.second(self.first(x).relu()).relu()
            return self.classifier(features), self.deviation(features)

    ARCHITECTURES["without_norm"] = WithoutNorm


def teacher(what: str) -> OnlineTeacher | None:
    import torch

    if what == "labels":
        return None
    torch.manual_seed(77)
    networks = [build_network(MEMBER.architecture, MEMBER.arguments) for _ in range(2)]
    layers = ["bottleneck", "last"] if what == "features" else []
    return OnlineTeacher(networks, layers, deviation=what == "second head")


def train(folder: Path, processes: int, what: str) -> Trained:
    register()
    fabric = open_fabric(Hardware("cpu", devices=processes))
    how = balls.schedule(12, losses=LOSSES[what], batch=4, validate_every=3)
    made, held = balls.cases(3), balls.cases(1, seed=1)
    state = folder / "state"
    two_heads = {**MEMBER.arguments, "deviation": what == "second head"}
    member = dataclasses.replace(MEMBER, arguments=two_heads)
    trainer = Trainer(member, how, made, held, 5, state, fabric, teacher=teacher(what))
    return trainer.run(Monitor())


def in_process(folder: Path, processes: int, what: str) -> None:
    # what is registered first is called last
    atexit.register(note_whether_left, folder / f"left-{os.environ['RANK']}")
    trained = train(folder, processes, what)
    if os.environ["RANK"] == "0":
        (folder / "history.json").write_text(json.dumps(trained.history), "utf-8")


def note_whether_left(file: Path) -> None:
    from torch import distributed

    file.write_text(str(not distributed.is_initialized()), "utf-8")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run_processes(folder: Path, count: int, what: str) -> list[dict[str, float]]:
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
            [sys.executable, "-c", PROCESS, str(folder), str(count), what],
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


@pytest.mark.parametrize("what", LOSSES)
def test_two_processes_train_as_one_with_the_same_batch(tmp_path: Path, what: str) -> None:
    one, two = (run_processes(tmp_path / str(n), n, what) for n in (1, 2))

    assert [entry["step"] for entry in two] == [3, 6, 9, 12]
    for ours, theirs in zip(two, one, strict=True):
        for loss in LOSSES[what]:
            assert ours[loss] == pytest.approx(theirs[loss], rel=1e-5)
        assert ours["validation_dice"] == pytest.approx(theirs["validation_dice"], rel=1e-3)
    weights = [load_file(tmp_path / name / "state") for name in ("1", "2")]
    for name, tensor in weights[0].items():
        if name.startswith(("network/", "adapters/")):
            assert weights[1][name].numpy() == pytest.approx(tensor.numpy(), rel=1e-3, abs=1e-5)


def test_processes_take_leave_of_each_other_before_they_end(tmp_path: Path) -> None:
    run_processes(tmp_path / "two", 2, "labels")

    assert [(tmp_path / "two" / f"left-{rank}").read_text("utf-8") for rank in (0, 1)] == [
        "True",
        "True",
    ]


def test_a_device_that_is_not_there_is_refused_before_anything_starts() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    with pytest.raises(DeviceError, match="The device cuda is not available"):
        open_fabric(Hardware("cuda"))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"training cannot start on 1 x cpu.*precision"):
        open_fabric(Hardware("cpu", precision="8-tiny"))
