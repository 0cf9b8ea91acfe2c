"""Results of a study that was never trained, so that a report of it takes no time."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from KDSegmentationLogic.bundles.decoding import decode
from KDSegmentationLogic.evaluation.calibration import calibration
from KDSegmentationLogic.evaluation.structures import StructureResult
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Study
from KDSegmentationLogic.studies.protocol import Protocol
from KDSegmentationLogic.studies.results import Assessed, CaseResult, Cost, ResultStore
from KDSegmentationLogic.training.trainer import Trained
from Testing.studies.made_study import CONTENT

STRUCTURES = ("left & <right>", "tail")
CASES = tuple(f"case{number:02d}" for number in range(16))
PATIENTS = {case: f"patient{number // 2}" for number, case in enumerate(CASES)}

DICE = {
    "Ball-ensemble": 0.88,
    "Ball-student-s1": 0.879,
    "Ball-student-s2": 0.881,
    "Ball-plain-s1": 0.86,
    "Ball-plain-s2": 0.861,
    "slices": 0.83,
    "volume": 0.865,
}
"""The models, and the Dice that their cases lie round."""


def study() -> Study:
    """Two teachers, their ensemble, a student and a baseline of two seeds each."""
    content = copy.deepcopy(CONTENT)
    content["labels"] = [
        {"value": value, "name": name, "color": [200, 40 * value, 90]}
        for value, name in enumerate(STRUCTURES, 1)
    ]
    for arm in (*content["teachers"], *content["students"]):
        arm["arguments"]["classes"] = 3
    (student,) = content["students"]
    del student["seed"]
    student["seeds"] = [1, 2]
    plain = copy.deepcopy(student)
    plain |= {"name": "plain", "schedule": {"losses": {"dice": 1.0}, "steps": 10}}
    content["students"].append(plain)
    return decode(Study, content, "study")


def made_run(
    root: Path,
    splits: Sequence[str] = ("val", "test"),
    left_out: str = "",
    of: Study | None = None,
) -> RunFolder:
    """A run folder in which every model but ``left_out`` has been measured."""
    folder = RunFolder(root, of or study())
    store = ResultStore(root)
    for split in splits:
        entries = []
        for number, (name, dice) in enumerate(DICE.items()):
            if name == left_out:
                continue
            place = f"{split}-{name}-made"
            cases = tuple(_case(case, dice, number) for case in CASES)
            store.save(root / "results" / place, Assessed(name, split, "torch on cpu", cases))
            store.save_cost(root / "results" / f"cost-{name}.json", _cost(name))
            files = {"results": place, "cost": f"cost-{name}.json"}
            entries.append({"arm": name, "temperature": 1.2, **files})
        listing = {"arms": entries, "protocol": asdict(Protocol()), "patients": PATIENTS}
        path = folder.report(f"{split}-files.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(listing), "utf-8")
    return folder


def keep_networks(folder: RunFolder, *names: str) -> None:
    """These arms as if they were trained, with the weights that a network begins with."""
    for name in names:
        arm = folder.study.arm(name)
        network = build_network(arm.architecture, arm.arguments)
        folder.save_trained(arm, Trained(network, 0.5, 1, ()))


def _case(case: str, dice: float, model: int) -> CaseResult:
    """Hard cases are hard for all models; the models' own part is small."""
    number = CASES.index(case)
    shared = np.random.default_rng(number).normal(0, 0.02)
    own = np.random.default_rng((number, model))
    value = float(np.clip(dice + shared + own.normal(0, 0.004), 0, 1))
    sure = own.uniform(0.5, 1, 400)
    right = own.random(400) < sure - 0.05
    probabilities = np.stack([sure, (1 - sure) * 0.7, (1 - sure) * 0.3])
    found = calibration(probabilities, np.where(right, 0, 1))
    return CaseResult(
        case=case,
        structures=tuple(_structure(v, n, value) for v, n in enumerate(STRUCTURES, 1)),
        nll=found.nll,
        brier=found.brier,
        reliability=found.reliability,
        entropy=1 - value,
        error_auroc=0.9,
    )


def _structure(value: int, name: str, dice: float) -> StructureResult:
    missed: dict[str, Any] = {"hd95": float("nan"), "assd": float("nan")}
    there: dict[str, Any] = {"hd95": 20 * (1 - dice), "assd": 5 * (1 - dice)}
    return StructureResult(
        dice=dice,
        surface_dice=dice,
        prediction_volume=3.0 if dice else 0.0,
        reference_volume=3.0,
        value=value,
        name=name,
        unit="mm",
        volume_unit="mL",
        **(there if dice else missed),
    )


def _cost(name: str) -> Cost:
    slow = "student" not in name and "plain" not in name
    return Cost(
        parameters=5_000_000 if slow else 700_000,
        macs=4e9 if slow else 3e8,
        file_bytes=20_000_000 if slow else 2_800_000,
        seconds=1.2 if slow else 0.06,
        network_seconds=1.1 if slow else 0.03,
        cpu_seconds=2.2 if slow else 0.06,
        cases=5,
        timed_on=CASES[0],
        peak_memory_gib=0.5,
        threads=2,
        cores=2,
        device="cpu",
        engine="torch",
        load=0.1,
    )
