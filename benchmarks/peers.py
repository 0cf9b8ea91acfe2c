"""Our engines beside MONAI's and nnU-Net's inference, from file to file, in one run.

    python benchmarks/peers.py -o results [--cases ct128-4 ...] [--nnunet PYTHON]

Every measurement is a child process that loads the method, warms up and runs it from file to
file: ours on the whole case, a peer on a small crop and, where the whole case takes it less than
half a minute, on that. Methods take turns, so that a busy machine meets all alike; one that
needs over a minute has two turns at most, one over five minutes a single one, and networks of
nnU-Net's size come last. Each measurement is a file in the results' folder, and one that is there
is not made again: a run that was interrupted goes on where it was. The report is written anew
after every measurement. A method that fails is listed with its words, one that needs more than
``--memory`` is ended and listed as such.

MONAI comes with the extra ``train``, nnU-Net with ``nnunet``; ``--nnunet`` names another Python
that has it. Real crops are read from KDSEG_DATA, else from the module's sample image. Writes
peers.md and peers.json, also to ``--publish``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder, whose modules are benchmarks.* here

GIB = 2**30
ONCE_ABOVE_SECONDS, TWICE_ABOVE_SECONDS, COLD_RUN_BELOW_SECONDS = 300, 60, 30
MATRIX = "matrix product"
DEFAULT = (
    "ct128-4 ct128-20 ct128-4-instance ct128-20-instance hippocampus-student "
    "hippocampus-ensemble ct128-4-ensemble"
)
PACKAGES = ("torch", "openvino", "onnxruntime", "monai", "nnunetv2", "SimpleITK", "numpy")


def main() -> int:
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(measure(**json.loads(arguments.child))))
        return 0
    from benchmarks.cases import prepare

    folder = arguments.output
    for case in arguments.cases:
        prepare(folder / case, case, arguments.steps)
    end = time.monotonic() + 60 * arguments.minutes
    if not arguments.prepare:
        for turn, case, method in _turns(arguments):
            if time.monotonic() < end and _measure_once(folder / case, method, turn, arguments):
                report(arguments)
        print(report(arguments))
    return 0


def _arguments() -> argparse.Namespace:
    from benchmarks.cases import CASES
    from benchmarks.methods import METHODS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("peers"))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=DEFAULT.split())
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--steps", type=int, default=200, help="of fitting the networks")
    parser.add_argument("--memory", type=float, default=16.0, help="GiB that a method may take")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin nothing after these")
    parser.add_argument("--most", type=float, default=60.0, help="minutes for one measurement")
    parser.add_argument("--nnunet", default=sys.executable, help="Python that has nnunetv2")
    parser.add_argument("--prepare", action="store_true", help="make images and bundles only")
    parser.add_argument("--publish", type=Path, help="folder for a copy of the report")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _turns(arguments: argparse.Namespace) -> Iterator[tuple[int, str, str]]:
    """Turn, case, method; the networks of nnU-Net's size at the end, once."""
    from benchmarks.methods import OTHER_NETWORK, possible_methods

    methods = arguments.methods or possible_methods()
    quick = [method for method in methods if method not in OTHER_NETWORK]
    for turn in range(arguments.rounds):
        for case in arguments.cases:
            for method in [MATRIX, *quick]:
                yield turn, case, method
    for method in [method for method in methods if method in OTHER_NETWORK]:
        for case in arguments.cases:
            if case.endswith("-4"):
                yield 0, case, method


def file_name(method: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in method)


def _measure_once(folder: Path, method: str, turn: int, arguments: argparse.Namespace) -> bool:
    """False where the measurement is there already, or needless."""
    name = file_name(method)
    path = folder / f"{name}.{turn}.json"
    if path.is_file() or _slow_or_failed(folder / f"{name}.0.json", turn):
        return False
    python = arguments.nnunet if method.startswith("nnU-Net") else sys.executable
    task = json.dumps({"folder": str(folder), "method": method, "threads": arguments.threads})
    print(f"{folder.name}: {method}, turn {turn + 1}", file=sys.stderr, flush=True)
    command = [python, __file__, "--child", task]
    found = run_child(command, arguments.threads, arguments.memory, arguments.most)
    path.write_text(json.dumps({"method": method, **found}), encoding="utf-8")
    return True


def _slow_or_failed(first: Path, turn: int) -> bool:
    """Whether what the first turn found makes another one needless."""
    if turn == 0 or not first.is_file():
        return False
    found = json.loads(first.read_text(encoding="utf-8"))
    seconds = found.get("seconds", 0)
    allowed = 1 if seconds > ONCE_ABOVE_SECONDS else 2 if seconds > TWICE_ABOVE_SECONDS else 99
    return "failed" in found or turn >= allowed


def run_child(
    command: list[str], threads: int, memory_gib: float, minutes: float
) -> dict[str, Any]:
    """What a child prints as JSON in its last line, or why it failed.

    It is ended where it holds more than ``memory_gib``, before the machine itself runs out.
    """
    import psutil

    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(command, stdout=out, stderr=err, text=True, env=environment)
        watched, begun, ended = psutil.Process(child.pid), time.monotonic(), ""
        while child.poll() is None:
            try:
                held = watched.memory_info().rss
            except psutil.Error:
                break
            if held > memory_gib * GIB:
                ended = f"did not fit in {memory_gib:g} GiB"
            elif time.monotonic() - begun > 60 * minutes:
                ended = f"took more than {minutes:g} minutes"
            if ended:
                child.kill()
                break
            time.sleep(0.1)
        status = child.wait()
        out.seek(0)
        err.seek(0)
        lines, words = out.read().splitlines(), err.read().strip().splitlines()
    if status == 0:
        return dict(json.loads(lines[-1]))
    return {"failed": ended or (words[-1] if words else f"ended with status {status}")}


def measure(folder: str, method: str, threads: int) -> dict[str, Any]:
    """In the child: seconds a case, by stage, peak memory of the process, where the labels are."""
    from benchmarks.cases import images_of
    from benchmarks.methods import METHODS
    from KDSegmentationLogic.bundles.bundle import load_bundle

    case = Path(folder)
    if method == MATRIX:
        return {"gflops": _matrix_product(threads), "seconds": 0.0, "versions": _versions()}
    images, ours = images_of(case), method.startswith("kdseg")
    start = time.perf_counter()
    opened = METHODS[method](load_bundle(case / "bundle"), threads)
    found: dict[str, Any] = {"load": time.perf_counter() - start}
    start = time.perf_counter()
    opened.run(images[0] if ours else case / "crop.nii", case / "warm-up.nii")
    found["cold" if ours else "crop"] = time.perf_counter() - start
    for _ in range(1 if ours else 2):
        runs, start, voxels = [], time.perf_counter(), 0
        for k, image in enumerate(images):
            runs.append(opened.run(image, case / f"{file_name(method)}-labels{k}.nii"))
            voxels += getattr(opened, "voxels", 0)
        taken = time.perf_counter() - start
        if taken > COLD_RUN_BELOW_SECONDS:
            break
    found["seconds"] = taken / len(images)
    found["stages"] = {name: sum(run[name] for run in runs) / len(runs) for name in runs[0]}
    found |= {"voxels": voxels / len(images), "peak_gib": _peak() / GIB, "versions": _versions()}
    return {**found, "labels": [f"{file_name(method)}-labels{k}.nii" for k in range(len(images))]}


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _peak() -> float:
    """Bytes; of Linux alone, where the benchmark's figures come from."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024.0 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _matrix_product(threads: int) -> float:
    """Median GFLOP/s of a product of two float32 matrices of 2048."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    seconds = []
    for _ in range(15):
        start = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / statistics.median(seconds) / 1e9


def report(arguments: argparse.Namespace) -> str:
    """Of all cases that lie in the results' folder, whatever this run was asked for."""
    from benchmarks import reporting

    folder = arguments.output
    results = reporting.collected(folder)
    text = reporting.as_markdown(results)
    for place in filter(None, (folder, arguments.publish)):
        place.mkdir(parents=True, exist_ok=True)
        numbers = json.dumps(results, indent=2) + "\n"
        (place / "peers.json").write_text(numbers, encoding="utf-8")
        (place / "peers.md").write_text(text + "\n", encoding="utf-8")
    return text


if __name__ == "__main__":
    sys.exit(main())
