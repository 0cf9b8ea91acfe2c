"""The cores that this process really has.

Standard library only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Cores that this process may use, not those of the machine; at least 1.

    The least of the processor affinity (``taskset``, job schedulers) and the quota of a
    container, rounded up: the shares of a core that are left over count as a core.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cpu_quota())))


def cpu_quota(mounted: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float:
    """Cores' worth of time that Linux' control groups leave this process; infinite for no limit.

    Both versions of control groups; a group's limit holds for the groups in it.
    """
    return min((_limit(folder) for folder in _groups(mounted, own)), default=math.inf)


def _groups(mounted: Path, own: Path) -> Iterator[Path]:
    """The folders that may limit the process: its group and all round it."""
    try:
        lines = own.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        roots = [mounted] if not controllers else [mounted / controllers, mounted / "cpu"]
        inner = [part for part in path.split("/") if part not in ("", "..")]
        for root in roots:
            for depth in range(len(inner) + 1):
                yield root.joinpath(*inner[:depth])


def _limit(group: Path) -> float:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (group / "cpu.cfs_period_us").read_text(encoding="ascii")
        cores = float(quota) / float(period)  # "max" is no number
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
    return cores if cores > 0 else math.inf  # version 1 says -1 for no limit
