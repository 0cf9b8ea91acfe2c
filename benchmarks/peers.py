"""Our engines beside MONAI's and nnU-Net's inference, from file to file, in one run.

    python benchmarks/peers.py -o results [--cases ct128-4 ...] [--nnunet PYTHON]

Every measurement is a child process: it loads the method, runs it, and, where that took less
than five minutes, runs it once more; the second time counts. Methods take turns, so that a busy
machine meets all alike. Each measurement is a file in the results' folder, and one that is there
is not made again: a run that was interrupted goes on where it was. A method that fails, for
want of memory say, is listed with its words.

MONAI comes with the extra ``train``, nnU-Net with ``nnunet``; ``--nnunet`` names another Python
that has it. Ends by printing the table, which is also written to peers.md with peers.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # in place of this folder, whose click.py would hide the package click

GIB = 2**30
ONCE_ABOVE_SECONDS = 300
PATCH = (128, 128, 128)

# size and mm of the volume (x, y, z), mm that the network sees, classes
CASES: dict[str, tuple[Any, Any, Any, int]] = {
    f"ct{size[2]}-{classes}": (size, spacing, seen, classes)
    for size, spacing, seen in (
        ((256, 256, 160), (1.4, 1.4, 2.0), (1.4, 1.4, 2.0)),
        ((512, 512, 128), (0.7, 0.7, 2.5), (1.4, 1.4, 2.0)),
        ((512, 512, 300), (0.7, 0.7, 1.5), (1.4, 1.4, 2.0)),
    )
    for classes in (4, 20, 104)
}
CASES["tiny-4"] = ((64, 48, 32), (2.8, 2.8, 2.5), (2.0, 2.0, 2.0), 4)


def main() -> int:
    arguments = _arguments()
    if arguments.child:
        print(json.dumps(measure(**json.loads(arguments.child))))
        return 0
    folder, rounds = arguments.output, arguments.rounds
    folder.mkdir(parents=True, exist_ok=True)
    for case in arguments.cases:
        prepare(folder / case, case, arguments.steps)
    for turn in range(rounds):
        for case in arguments.cases:
            for method in ["matrix product", *arguments.methods]:
                _measure_once(folder / case, method, turn, arguments)
    results = {case: collected(folder / case) for case in arguments.cases}
    (folder / "peers.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    text = "\n\n".join(as_table(case, found) for case, found in results.items())
    (folder / "peers.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def _arguments() -> argparse.Namespace:
    from benchmarks.methods import METHODS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("peers"))
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES), default=["ct128-4", "ct128-20"])
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=list(METHODS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--steps", type=int, default=150, help="of fitting the network")
    parser.add_argument("--nnunet", default=sys.executable, help="Python that has nnunetv2")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def prepare(folder: Path, case: str, steps: int) -> None:
    """The case's image and its fitted bundle, once."""
    from benchmarks import phantoms

    size, spacing, seen, classes = CASES[case]
    patch = (64, 64, 64) if case.startswith("tiny") else PATCH
    if not (folder / "case.json").is_file():
        share = phantoms.make_volume(size, spacing, classes, folder / "image.nii")
        if not (folder / "bundle").exists():
            phantoms.make_bundle(folder / "bundle", classes, seen, patch, steps)
        facts = {"size": size, "spacing": spacing, "classes": classes, "body": share}
        facts["flop_a_voxel"] = _flop(folder / "bundle", size, spacing, seen)
        (folder / "case.json").write_text(json.dumps(facts), encoding="utf-8")


def _measure_once(folder: Path, method: str, turn: int, arguments: argparse.Namespace) -> None:
    name = "".join(c if c.isalnum() else "-" for c in method)
    path = folder / f"{name}.{turn}.json"
    if path.is_file() or _slow_or_failed(folder / f"{name}.0.json", turn):
        return
    python = arguments.nnunet if method.startswith("nnU-Net") else sys.executable
    task = json.dumps({"folder": str(folder), "method": method, "threads": arguments.threads})
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    print(f"{folder.name}: {method}, {turn + 1} of {arguments.rounds}", file=sys.stderr)
    done = subprocess.run(
        [python, __file__, "--child", task], capture_output=True, text=True, env=environment
    )
    if done.returncode == 0:
        found = json.loads(done.stdout.splitlines()[-1])
    else:
        lines = done.stderr.strip().splitlines()
        found = {"failed": lines[-1] if lines else f"ended with status {done.returncode}"}
    path.write_text(json.dumps({"method": method, **found}), encoding="utf-8")


def _slow_or_failed(first: Path, turn: int) -> bool:
    """Whether what the first turn found makes another one needless."""
    if turn == 0 or not first.is_file():
        return False
    found = json.loads(first.read_text(encoding="utf-8"))
    return "failed" in found or found.get("seconds", 0) > ONCE_ABOVE_SECONDS


def measure(folder: str, method: str, threads: int) -> dict[str, Any]:
    """In the child: seconds by stage, peak memory of the process, where the labels are."""
    from benchmarks.methods import METHODS
    from KDSegmentationLogic.bundles.bundle import load_bundle

    case = Path(folder)
    if method == "matrix product":
        return {"gflops": _matrix_product(threads), "seconds": 0.0}
    labels = case / ("".join(c if c.isalnum() else "-" for c in method) + "-labels.nii")
    start = time.perf_counter()
    opened = METHODS[method](load_bundle(case / "bundle"), threads)
    found: dict[str, Any] = {"load": time.perf_counter() - start}
    for kind in ("cold", "warm"):
        start = time.perf_counter()
        found["stages"] = opened.run(case / "image.nii", labels)
        found["seconds"] = found[kind] = time.perf_counter() - start
        if found[kind] > ONCE_ABOVE_SECONDS:
            break
    voxels = getattr(opened, "voxels", None)
    return {**found, "peak_gib": _peak() / GIB, "labels": labels.name, "voxels": voxels}


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


def _flop(bundle: Path, size: Any, spacing: Any, seen: Any) -> float:
    """Of the network, for each voxel of its grid."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from KDSegmentationLogic.bundles.bundle import load_bundle
    from KDSegmentationLogic.inference.engines.estimate import Logits
    from KDSegmentationLogic.networks.registry import build_network

    member = load_bundle(bundle).description.members[0]
    with torch.device("meta"):
        network = build_network(member.architecture, member.arguments).eval()
        on_grid = [round(n * a / b) for n, a, b in zip(size, spacing, seen, strict=True)][::-1]
        shape = [-(-n // d) * d for n, d in zip(on_grid, network.divisor, strict=True)]
        with FlopCounterMode(display=False) as counter:
            Logits(network)(torch.empty(1, 1, *shape))
    return float(counter.get_total_flops() / math.prod(shape))


def collected(folder: Path) -> dict[str, Any]:
    """Medians over the turns of each method, with the agreement of its labels with the first's."""
    from benchmarks.methods import METHODS, OTHER_NETWORK

    turns: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.[0-9].json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        turns.setdefault(found["method"], []).append(found)
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    peaks = [t["gflops"] for t in turns.pop("matrix product", [])]
    case["matrix_gflops"] = statistics.median(peaks) if peaks else None
    rows: dict[str, Any] = {}
    for method in [m for m in METHODS if m in turns]:
        good = [t for t in turns[method] if "failed" not in t]
        if not good:
            rows[method] = {"failed": turns[method][0]["failed"]}
            continue
        middle = sorted(good, key=lambda t: t["seconds"])[len(good) // 2]
        rows[method] = {
            "seconds": statistics.median(t["seconds"] for t in good),
            "turns": len(good),
            "peak_gib": max(t["peak_gib"] for t in good),
            "stages": middle["stages"],
            "voxels": middle["voxels"],
            "labels": middle["labels"] if method not in OTHER_NETWORK else None,
        }
    _compare_labels(folder, rows)
    return {"machine": f"{platform.machine()}, {os.cpu_count()} cores", **case, "methods": rows}


def _compare_labels(folder: Path, rows: dict[str, Any]) -> None:
    import numpy as np
    import SimpleITK as sitk

    reference = None
    for row in rows.values():
        if not row.get("labels"):
            continue
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / row["labels"])))
        reference = labels if reference is None else reference
        either = (labels > 0) | (reference > 0)
        row["agreement"] = float((labels == reference).mean())
        row["foreground_agreement"] = float((labels == reference)[either].mean())
        row["structures"] = len(np.unique(labels)) - 1


def as_table(name: str, found: dict[str, Any]) -> str:
    """Markdown; ratios to the first method."""
    size = " x ".join(map(str, found["size"]))
    lines = [
        f"**{name}**: {size}, {found['classes']} classes, body {found['body']:.0%} of the volume;"
        f" {found['machine']}",
        "",
        "| program | s | ratio | peak, GiB | GFLOP/s | labels agree | stages, s |",
        "|---|---|---|---|---|---|---|",
    ]
    first = next((row["seconds"] for row in found["methods"].values() if "seconds" in row), None)
    for method, row in found["methods"].items():
        if "failed" in row:
            lines.append(f"| {method} | failed | | | | | {row['failed'][:120]} |")
            continue
        network = row["stages"].get("network")
        done = (row["voxels"] or 0) * found["flop_a_voxel"] / 1e9
        rate = f"{done / network:.0f}" if network else ""
        agreement = f"{row['agreement']:.3%}" if "agreement" in row else ""
        stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in row["stages"].items())
        lines.append(
            f"| {method} | {row['seconds']:.2f} | {row['seconds'] / first:.1f} |"
            f" {row['peak_gib']:.2f} | {rate} | {agreement} | {stages} |"
        )
    if found["matrix_gflops"]:
        lines += ["", f"Matrix product in the same run: {found['matrix_gflops']:.0f} GFLOP/s."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
