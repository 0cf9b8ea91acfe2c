"""The memory that the engines say they need, against what they take."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

# Below the estimate windows would not fit; above it is waste, for the layers' own copies, which
# not all convolutions make, and for those of the softmax, which one thread does not make.
# Libraries and the allocator hold some, whatever the size.
LARGEST_WASTE = 3.0
WHATEVER_THE_SIZE = 128 * 2**20

# Of a forward after a first, small one: that loads the libraries, which is no matter of size.
CHILD = """
import sys
from pathlib import Path
import numpy as np
import torch
torch.set_num_threads(1)
from KDSegmentationLogic.bundles.description import NO_SUM, Member
from KDSegmentationLogic.inference.predict import Runner, plan_passes
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor
from Testing.inference.conftest import open_network

def memory(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(x for x in lines if x.startswith(key)).split()[1])

network = build_network(sys.argv[1], {"in_channels": 1, "classes": int(sys.argv[2])}).eval()
engine = open_network(sys.argv[4], network)
shape = [int(n) for n in sys.argv[3].split(",")]
run = getattr(engine, sys.argv[5])
run(np.zeros([1, 1, *(4 * d for d in engine.divisor)], np.float32), Monitor())
batch = np.ones(shape, np.float32)
axial = ("axial",) * (engine.dimensions == 2)
member = Member(sys.argv[1], {}, "m.safetensors", NO_SUM, (8,) * engine.dimensions, views=axial)
volume = shape[2:] if engine.dimensions == 3 else [shape[0], *shape[2:]]
logits = sys.argv[5] == "logits"
plan = plan_passes([Runner(member, engine)], volume, 1e12, logits=logits)[0][0]
estimated = plan.bytes_needed
if engine.dimensions == 2:  # the volume's own scores are none of the forward's
    estimated -= np.prod(volume) * engine.classes * 4
Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
before = memory("VmRSS")
run(batch, Monitor())
print(memory("VmHWM") - before, estimated)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads Linux's peak memory")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "method"),
    [
        ("torch", "logits"),
        ("torch", "probabilities"),
        ("openvino", "logits"),
        ("openvino", "probabilities"),
        ("onnxruntime", "logits"),
    ],
)
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
    architecture: str, classes: int, shape: str, engine: str, method: str, project_root: Path
) -> None:
    if architecture == "dilated2d" and method == "logits":
        pytest.skip("a 2-D network gives probabilities only")
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"needs {engine}")
    command = [sys.executable, "-c", CHILD, architecture, str(classes), shape, engine, method]
    done = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured, estimated = (float(n) for n in done.stdout.split())
    assert measured <= estimated + WHATEVER_THE_SIZE
    assert estimated <= LARGEST_WASTE * measured
