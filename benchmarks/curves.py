"""How our time grows with voxels and our peak memory with classes.

    python benchmarks/curves.py -o results [--publish FOLDER]

With the cases and the child processes of ``peers.py``, and resumable like it: three measurements
a point, their median. Writes curves.json, curves.md and curves.png.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder, whose modules are benchmarks.* here

SIZES = (
    "grow128x80-4", "grow192x160-4", "grow256x160-4", "grow384x160-4", "grow512x200-4",
    "grow512x250-4", "ct300-4",
)  # fmt: skip
CLASSES = tuple(f"ct128-{classes}" for classes in (4, 8, 20, 50, 104))


def main() -> int:
    from benchmarks import peers, reporting
    from benchmarks.cases import prepare

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("peers"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--steps", type=int, default=60, help="of fitting a network")
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--classes", nargs="+", default=CLASSES)
    parser.add_argument("--publish", type=Path, help="folder for a copy of the report")
    arguments = parser.parse_args()
    arguments.nnunet, arguments.memory, arguments.most = sys.executable, 16.0, 60.0
    cases = dict.fromkeys((*arguments.sizes, *arguments.classes))
    for case in cases:
        prepare(arguments.output / case, case, arguments.steps)
    for turn in range(arguments.rounds):
        for case in cases:
            peers._measure_once(arguments.output / case, reporting.OURS, turn, arguments)
    found = reporting.collected(arguments.output)
    rows = {case: found["cases"][case] for case in cases}
    curves = {
        "machine": found["machine"],
        "time": curve(rows, arguments.sizes, lambda case: math.prod(case["size"]) / 1e6, "seconds"),
        "memory": curve(rows, arguments.classes, lambda case: case["classes"], "peak_gib"),
    }
    for place in filter(None, (arguments.output, arguments.publish)):
        place.mkdir(parents=True, exist_ok=True)
        text = json.dumps(curves, indent=2) + "\n"
        (place / "curves.json").write_text(text, encoding="utf-8")
        (place / "curves.md").write_text(as_markdown(curves) + "\n", encoding="utf-8")
        draw(curves, place / "curves.png")
    print(as_markdown(curves))
    return 0


def curve(rows: dict[str, Any], cases: Any, position: Any, figure: str) -> dict[str, Any]:
    """Points of our OpenVINO engine, in ascending order, and the line through them."""
    from benchmarks.reporting import OURS

    good = [rows[case] for case in cases if figure in rows[case]["methods"][OURS]]
    points = sorted((position(row), row["methods"][OURS][figure]) for row in good)
    return {"points": points, **line([x for x, _ in points], [y for _, y in points])}


def line(x: list[float], y: list[float]) -> dict[str, float]:
    """Least squares: slope, intercept, and the share of the variance that the line explains."""
    import numpy as np

    slope, intercept = np.polyfit(x, y, 1)
    rest = np.asarray(y) - (slope * np.asarray(x) + intercept)
    spread = float(np.var(y))
    share = 1.0 - float(np.var(rest)) / spread if spread else 1.0
    return {"slope": float(slope), "intercept": float(intercept), "r2": share}


def as_markdown(curves: dict[str, Any]) -> str:
    machine, lines = curves["machine"], []
    for name, x, y in (("time", "million voxels", "s"), ("memory", "classes", "GiB, peak")):
        found = curves[name]
        lines += [f"| {x} | " + " | ".join(f"{a:.3g}" for a, _ in found["points"]) + " |"]
        lines += ["|---" * (len(found["points"]) + 1) + "|"]
        lines += [f"| {y} | " + " | ".join(f"{b:.2f}" for _, b in found["points"]) + " |", ""]
        lines += [
            f"{y} = {found['intercept']:.3g} + {found['slope']:.3g} x {x}; R2 {found['r2']:.4f}.",
            "",
        ]
    return "\n".join([f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}", "", *lines])


def draw(curves: dict[str, Any], path: Path) -> None:
    """Both curves beside each other, with their lines."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for place, name, x, y in (
        (axes[0], "time", "voxels of the image, millions", "file to file, s"),
        (axes[1], "memory", "classes", "peak memory, GiB"),
    ):
        found = curves[name]
        across = [point[0] for point in found["points"]]
        place.plot(across, [point[1] for point in found["points"]], "o")
        place.plot(across, [found["slope"] * a + found["intercept"] for a in across], "-", lw=1)
        place.set(xlabel=x, ylabel=y, ylim=(0, None), title=f"$R^2$ = {found['r2']:.3f}")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
