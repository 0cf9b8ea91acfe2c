"""From the benchmark's measurements to tables, and to what was to be shown."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB, GB = 2**30, 1e9
OURS, NNUNET, MONAI = "kdseg (OpenVINO)", "nnU-Net", "MONAI"
ALIKE = "MONAI, cubic"  # which sees the same voxels as ours
LARGE, FIVE = "nnU-Net, 31 M", "nnU-Net, 31 M, 5 folds"


@dataclass(frozen=True)
class Target:
    """A bound on one figure of our engine (OpenVINO) in one case, mostly beside another's."""

    case: str
    figure: str  # "time ratio", "memory ratio", "agreement", "memory", "rate" or "around"
    peer: str
    bound: float

    @property
    def at_least(self) -> bool:
        return self.figure in ("time ratio", "agreement", "rate")


TARGETS = (
    Target("ct128-4", "time ratio", NNUNET, 15),
    Target("ct128-20", "time ratio", NNUNET, 25),
    Target("ct128-20", "memory ratio", NNUNET, 1 / 3),
    Target("ct128-4", "time ratio", MONAI, 8),
    Target("ct128-20", "time ratio", MONAI, 8),
    *(
        Target(case, "agreement", peer, 0.999)
        for case in ("ct128-4", "ct128-20")  # instance norm depends on where windows lie
        for peer in (NNUNET, ALIKE)
    ),
    Target("ct128-4-instance", "time ratio", NNUNET, 4),
    Target("ct128-20-instance", "time ratio", NNUNET, 6),
    Target("ct128-4", "time ratio", LARGE, 100),
    Target("ct128-4", "time ratio", FIVE, 400),
    Target("ct128-4", "memory", "", 1.1),
    Target("ct128-4", "rate", "", 0.7),
    Target("ct128-4", "around", "", 1.0),
)
SENTENCES = {
    "time ratio": "time of {} over ours",
    "memory ratio": "our peak memory over that of {}",
    "agreement": "voxels whose labels agree with {}",
    "memory": "our peak memory, GB",
    "rate": "rate of our network stage over the matrix product's",
    "around": "time around our network over the network's",
}


def collected(folder: Path) -> dict[str, Any]:
    """The machine, and for each case with measurements the medians over the turns."""
    cases: dict[str, Any] = {}
    versions: dict[str, str] = {}
    for place in sorted(path.parent for path in folder.glob("*/case.json")):
        turns = _turns(place)
        for found in [turn for several in turns.values() for turn in several]:
            versions |= found.get("versions", {})
        if len(turns.keys() - {"matrix product"}):
            cases[place.name] = _case(place, turns)
    return {"machine": machine(), "versions": versions, "cases": cases}


def machine() -> dict[str, Any]:
    model = platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        lines = facts.read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    found = {"cpu": model, "cores": os.cpu_count(), "system": platform.system(), "date": today}
    import torch

    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _turns(folder: Path) -> dict[str, list[dict[str, Any]]]:
    turns: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.[0-9].json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        turns.setdefault(found["method"], []).append(found)
    return turns


def _case(folder: Path, turns: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    from benchmarks.methods import METHODS, OTHER_NETWORK

    facts = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    peaks = [turn["gflops"] for turn in turns.get("matrix product", []) if "gflops" in turn]
    facts["matrix_gflops"] = statistics.median(peaks) if peaks else None
    rows: dict[str, Any] = {}
    for method in [m for m in METHODS if m in turns]:
        good = [turn for turn in turns[method] if "failed" not in turn]
        if not good:
            rows[method] = {"failed": turns[method][0]["failed"]}
            continue
        middle = sorted(good, key=lambda turn: turn["seconds"])[len(good) // 2]
        rows[method] = {
            "seconds": statistics.median(turn["seconds"] for turn in good),
            "turns": [turn["seconds"] for turn in good],
            "peak_gib": max(turn["peak_gib"] for turn in good),
            "stages": middle["stages"],
            "voxels": middle["voxels"],
            "labels": middle["labels"] if method not in OTHER_NETWORK else None,
        }
        rows[method]["gflops"] = _rate(rows[method], facts["flop_a_voxel"])
    _compare_labels(folder, rows)
    return {**facts, "methods": rows}


def _rate(row: dict[str, Any], flop_a_voxel: float | None) -> float | None:
    """GFLOP/s of our network stage."""
    network = row["stages"].get("network")
    if not (network and flop_a_voxel and row["voxels"]):
        return None
    return float(row["voxels"] * flop_a_voxel / 1e9 / network)


def _compare_labels(folder: Path, rows: dict[str, Any]) -> None:
    """Each method's labels with those of the first that has some."""
    import numpy as np
    import SimpleITK as sitk

    reference = None
    for row in rows.values():
        if not row.get("labels"):
            continue
        paths = [folder / name for name in row.pop("labels")]
        labels = np.concatenate(
            [sitk.GetArrayFromImage(sitk.ReadImage(str(path))).ravel() for path in paths]
        )
        reference = labels if reference is None else reference
        either = (labels > 0) | (reference > 0)
        row["agreement"] = float((labels == reference).mean())
        row["foreground_agreement"] = float((labels == reference)[either].mean())
        row["structures"] = len(np.unique(labels)) - 1


def judged(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Each target with the measured figure (None: not measured) and whether it was reached."""
    rows = []
    for target in TARGETS:
        found = _figure(results["cases"].get(target.case), target)
        reached = None
        if found is not None:
            reached = found >= target.bound if target.at_least else found <= target.bound
        rows.append({"target": target, "found": found, "reached": reached})
    return rows


def _figure(case: dict[str, Any] | None, target: Target) -> float | None:
    rows = case["methods"] if case else {}
    ours, peer = rows.get(OURS, {}), rows.get(target.peer, {})
    if "seconds" not in ours or (target.peer and "seconds" not in peer) or case is None:
        return None
    network = ours["stages"].get("network")
    if target.figure == "time ratio":
        return float(peer["seconds"] / ours["seconds"])
    if target.figure == "memory ratio":
        return float(ours["peak_gib"] / peer["peak_gib"])
    if target.figure == "agreement":
        return float(peer["agreement"])
    if target.figure == "memory":
        return float(ours["peak_gib"] * GIB / GB)
    if target.figure == "around":
        return float((ours["seconds"] - network) / network)
    return ours["gflops"] / case["matrix_gflops"] if case["matrix_gflops"] else None


def as_markdown(results: dict[str, Any]) -> str:
    """The machine, what was to be shown, and a table a case."""
    machine, versions = results["machine"], results["versions"]
    gpu = f", {machine['gpu']}" if "gpu" in machine else ""
    head = (
        f"{machine['cpu']}, {machine['cores']} cores{gpu}, {machine['date']}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ". From file to file, files uncompressed, both sides warm, methods in turns, medians; "
        "peak memory is that of the whole process. nnU-Net without mirroring, steps of half a "
        "window; MONAI's windows overlap by half; ratios are to the first row."
    )
    tables = [as_table(name, found) for name, found in results["cases"].items()]
    return "\n\n".join([head, _as_judgement(judged(results)), *tables])


def _as_judgement(rows: list[dict[str, Any]]) -> str:
    lines = [
        "**What was to be shown**",
        "",
        "| case | figure | target | measured | reached |",
        "|---|---|---|---|---|",
    ]
    words = {None: "not measured", True: "yes", False: "no"}
    for row in rows:
        target, found = row["target"], row["found"]
        what = SENTENCES[target.figure].format(target.peer)
        sign = "at least" if target.at_least else "at most"
        bound, value = _shown(target.figure, target.bound), _shown(target.figure, found)
        lines.append(
            f"| {target.case} | {what} | {sign} {bound} | {value} | {words[row['reached']]} |"
        )
    return "\n".join(lines)


def _shown(figure: str, value: float | None) -> str:
    if value is None:
        return ""
    if figure == "agreement":
        return f"{value:.3%}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def as_table(name: str, found: dict[str, Any]) -> str:
    """Markdown; ratios to the first method."""
    size = " x ".join(map(str, found["size"]))
    lines = [
        f"**{name}**: {size}, {found['classes']} classes"
        + (f", body {found['body']:.0%} of the volume" if found["body"] else "")
        + (f", {len(found['images'])} cases of {found['data']}" if "images" in found else ""),
        "",
        "| program | s a case | turns | ratio | peak, GiB | GFLOP/s | labels agree |"
        " in structures | stages, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first = next((row["seconds"] for row in found["methods"].values() if "seconds" in row), None)
    for method, row in found["methods"].items():
        if "failed" in row:
            words = row["failed"][:120].replace("|", "/")
            lines.append(f"| {method} | {words} | | | | | | | |")
            continue
        rate = f"{row['gflops']:.0f}" if row["gflops"] else ""
        agreement = f"{row['agreement']:.3%}" if "agreement" in row else ""
        inside = f"{row['foreground_agreement']:.2%}" if "agreement" in row else ""
        stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in row["stages"].items())
        lines.append(
            f"| {method} | {row['seconds']:.2f} | {len(row['turns'])} |"
            f" {row['seconds'] / first:.1f} | {row['peak_gib']:.2f} | {rate} | {agreement} |"
            f" {inside} | {stages} |"
        )
    if found["matrix_gflops"]:
        lines += ["", f"Matrix product in the same run: {found['matrix_gflops']:.0f} GFLOP/s."]
    return "\n".join(lines)
