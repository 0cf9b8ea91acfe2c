"""What a training step of each student of a study costs beside the baseline's.

    python benchmarks/training_cost.py STUDY.yaml --run FOLDER --data DATA -o results

The teachers must be trained in the run's folder; nothing is written there. Every student is
trained for a few steps, all students in turns, each turn with their next seed, and the steps
after the first ones are timed in processor seconds of one thread, which other work on the
machine lengthens little. The soft targets are computed before and are not in the figures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder, whose modules are benchmarks.* here

WARM_UP = 3


class StepTimes:
    """Takes the trainer's progress, and the time at each of its steps."""

    def __init__(self) -> None:
        self._at: list[float] = []

    def __call__(self, _fraction: float, text: str) -> None:
        if text.startswith("step "):
            self._at.append(time.process_time())

    def seconds(self) -> list[float]:
        """Of each step between warm-up and the last one, which ends with a validation."""
        steps = [after - before for before, after in zip(self._at, self._at[1:], strict=False)]
        return steps[WARM_UP:-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, metavar="STUDY.yaml")
    parser.add_argument("--run", type=Path, required=True, help="of the study, with its teachers")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    from benchmarks.reporting import machine

    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        short = Path(scratch) / "study.yaml"
        declared = yaml.safe_load(arguments.study.read_text("utf-8"))
        short.write_text(yaml.safe_dump(shortened(declared, arguments.steps), sort_keys=False))
        times = timed(short, arguments.run, arguments.data, Path(scratch) / "run")
    results = {"machine": machine(), "steps": arguments.steps, "students": times}
    written = json.dumps(results, indent=2) + "\n"
    (arguments.output / "training-cost.json").write_text(written, "utf-8")
    text = as_markdown(results)
    (arguments.output / "training-cost.md").write_text(text, "utf-8")
    print(text)
    return 0


def shortened(declared: dict[str, Any], steps: int) -> dict[str, Any]:
    """The study with students of so few steps, validated once, at their end."""
    students = [
        {**s, "schedule": {**s["schedule"], "steps": steps, "validate_every": steps}}
        for s in declared["students"]
    ]
    return {**declared, "students": students}


def timed(study_file: Path, trained: Path, data: Path, scratch: Path) -> dict[str, list[float]]:
    """Each student's turns: the median step of each, in seconds."""
    from KDSegmentationLogic.progress import Monitor
    from KDSegmentationLogic.studies.artefacts import RunFolder
    from KDSegmentationLogic.studies.definition import read_study
    from KDSegmentationLogic.studies.stages import train_arm

    study = read_study(study_file)
    for teacher in study.teacher_runs:
        found, copy = (RunFolder(root, study).arm(teacher) for root in (trained, scratch))
        shutil.copytree(found, copy)
    names = [student.name for student in study.student_runs]
    times: dict[str, list[float]] = {}
    for name in in_turns(names):
        steps = StepTimes()
        train_arm(study_file, data, scratch, name, 1, monitor=Monitor(progress=steps))
        times.setdefault(without_seed(name), []).append(statistics.median(steps.seconds()))
        print(f"{name}: {times[without_seed(name)][-1]:.3f} s", file=sys.stderr)
    return times


def without_seed(name: str) -> str:
    return name.rsplit("-s", 1)[0]


def in_turns(names: Sequence[str]) -> list[str]:
    """The first seed of every student, then the second of every one."""
    places: dict[str, int] = {}
    turns = {}
    for name in names:
        turns[name] = places[without_seed(name)] = places.get(without_seed(name), -1) + 1
    return sorted(names, key=lambda name: turns[name])


def as_markdown(results: dict[str, Any]) -> str:
    """A row a student, the cheapest first; ratios to the first student of the study."""
    machine, students = results["machine"], results["students"]
    medians = {name: statistics.median(turns) for name, turns in students.items()}
    first, base = next(iter(medians.items()))
    lines = [
        f"{machine['cpu']}, {machine['date']}. Processor seconds of a training step on one thread:"
        f" medians of {len(students[first])} turns of {results['steps']} steps; against {first}.",
        "",
        "| student | s a step | lowest to highest turn | ratio |",
        "|---|---:|---:|---:|",
    ]
    for name, seconds in sorted(medians.items(), key=lambda item: item[1]):
        turns = f"{min(students[name]):.3f} to {max(students[name]):.3f}"
        lines.append(f"| {name} | {seconds:.3f} | {turns} | {seconds / base:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
