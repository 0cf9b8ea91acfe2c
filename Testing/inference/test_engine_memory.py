"""The memory that the torch engine says it needs, against what it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Below the estimate windows would not fit; above it is waste, for the layers' own copies, which
# not all convolutions make. Libraries and the allocator hold some, whatever the size.
LARGEST_WASTE = 2.5
WHATEVER_THE_SIZE = 128 * 2**20

# Of a forward after a first, small one: that loads torch's libraries, which is no matter of size.
CHILD = """
import sys
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(1)
from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor

def memory(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(x for x in lines if x.startswith(key)).split()[1])

engine = TorchEngine(build_network(sys.argv[1], {"in_channels": 1, "classes": int(sys.argv[2])}))
shape = [int(n) for n in sys.argv[3].split(",")]
engine.probabilities(np.zeros([1, 1, *(4 * d for d in engine.divisor)], np.float32), Monitor())
batch = np.ones(shape, np.float32)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
before = memory("VmRSS")
engine.probabilities(batch, Monitor())
print(memory("VmHWM") - before, batch.size * engine.bytes_per_voxel)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads Linux's peak memory")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "classes", "shape"),
    [
        ("student_unet", 21, "1,1,160,160,160"),
        ("student_unet", 3, "1,1,192,192,192"),
        ("unet3d", 3, "1,1,96,96,96"),
        ("resnet3d", 3, "1,1,112,112,112"),
        ("dilated2d", 3, "8,1,256,256"),
    ],
)
def test_the_estimate_holds_the_true_peak_and_little_more(
    architecture: str, classes: int, shape: str, project_root: Path
) -> None:
    command = [sys.executable, "-c", CHILD, architecture, str(classes), shape]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=True)
    measured, estimated = (float(n) for n in done.stdout.split())
    assert measured <= estimated + WHATEVER_THE_SIZE
    assert estimated <= LARGEST_WASTE * measured
