"""The cores that a process has: affinity and the quotas of control groups."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from KDSegmentationLogic.inference import cores
from KDSegmentationLogic.inference.cores import available_cores, cpu_quota


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """Version 2: the process is in /outer/inner."""
    (tmp_path / "self").write_text("0::/outer/inner\n")
    inner = tmp_path / "cgroup" / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("max 100000\n")
    return inner


def test_a_group_without_a_limit_has_none(group: Path, tmp_path: Path) -> None:
    assert (group / "cpu.max").is_file()
    assert cpu_quota(tmp_path / "cgroup", tmp_path / "self") == math.inf


def test_the_quota_of_an_outer_group_holds_too(group: Path, tmp_path: Path) -> None:
    (group / "cpu.max").write_text("400000 100000\n")
    (group.parent / "cpu.max").write_text("150000 100000\n")
    assert cpu_quota(tmp_path / "cgroup", tmp_path / "self") == 1.5


@pytest.mark.parametrize(("quota", "cores_there"), [("250000", 2.5), ("-1", math.inf)])
def test_version_1_of_control_groups_is_read(
    quota: str, cores_there: float, tmp_path: Path
) -> None:
    (tmp_path / "self").write_text("3:memory:/a\n2:cpu,cpuacct:/a\n")
    folder = tmp_path / "cgroup" / "cpu,cpuacct" / "a"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu.cfs_period_us").write_text("100000")
    assert cpu_quota(tmp_path / "cgroup", tmp_path / "self") == cores_there


def test_where_there_are_no_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "none", tmp_path / "none") == math.inf


def test_a_part_of_a_core_counts_as_one_and_never_less(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    else:
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
    found = []
    for quota in (math.inf, 2.5, 0.3):
        monkeypatch.setattr(cores, "cpu_quota", lambda quota=quota: quota)
        found.append(available_cores())
    assert found == [8, 3, 1]
