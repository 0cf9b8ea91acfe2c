"""How long a user waits before anything happens: importing the package, and ``kdseg --help``.

    python benchmarks/startup.py

Medians of new processes, the interpreter's own start included. The limits (0.2 s and 0.5 s) are
for an idle machine: processor time (not measured on Windows) shows what a busy one adds. Ends
with status 1 where a limit is passed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 9
COMMANDS = {
    "python -c pass": (["-c", "pass"], None),
    "import KDSegmentationLogic": (["-c", "import KDSegmentationLogic"], 0.2),
    "kdseg --help": (["-m", "KDSegmentationLogic", "--help"], 0.5),
}


def median_seconds(arguments: list[str]) -> tuple[float, float]:
    """Of the clock and of the processor."""
    clock, processor = [], []
    for _ in range(RUNS + 1):
        before, start = os.times(), time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        clock.append(time.perf_counter() - start)
        after = os.times()
        processor.append(sum(after[2:4]) - sum(before[2:4]))
    # the first run filled the file cache
    return statistics.median(clock[1:]), statistics.median(processor[1:])


def main() -> int:
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, medians of {RUNS} runs\n")
    print("| what | seconds | limit | processor, s |\n| --- | --- | --- | --- |")
    passed = True
    for name, (arguments, limit) in COMMANDS.items():
        clock, processor = median_seconds(arguments)
        passed = passed and (limit is None or clock < limit)
        print(f"| {name} | {clock:.3f} | {limit or ''} | {processor:.3f} |")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
