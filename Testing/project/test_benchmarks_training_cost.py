"""What steps of training cost: which are timed, in which order, and how it is told."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def training_cost(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return import_module("benchmarks.training_cost")


def test_warm_up_and_the_step_with_the_validation_are_not_timed(
    training_cost: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 9.0, 18.0, 27.0, 28.0, 30.0, 90.0])
    monkeypatch.setattr(training_cost.time, "process_time", lambda: next(clock))
    steps = training_cost.StepTimes()
    steps(0.0, "soft targets of case_1")
    for step in range(1, 8):
        steps(step / 7, f"step {step} of 7, Dice -1.000")

    assert steps.seconds() == [1.0, 2.0]


def test_students_are_timed_in_turns(training_cost: ModuleType) -> None:
    names = ["baseline-s80", "baseline-s81", "kl-s80", "kl-s81"]

    assert training_cost.in_turns(names) == ["baseline-s80", "kl-s80", "baseline-s81", "kl-s81"]


def test_only_students_are_shortened(training_cost: ModuleType) -> None:
    schedule = {"steps": 1000, "validate_every": 100, "batch": 8}
    declared = {"teachers": [{"schedule": schedule}], "students": [{"schedule": schedule}]}
    short = training_cost.shortened(declared, 24)

    assert short["teachers"] == declared["teachers"]
    assert short["students"] == [{"schedule": {"steps": 24, "validate_every": 24, "batch": 8}}]


def test_ratios_are_to_the_first_student(training_cost: ModuleType) -> None:
    machine = {"cpu": "a processor", "date": "2026-01-01"}
    students = {"baseline": [0.2, 0.2, 0.3], "kl": [0.3, 0.3, 0.2]}
    text = training_cost.as_markdown({"machine": machine, "steps": 24, "students": students})

    assert "| kl | 0.300 | 0.200 to 0.300 | 1.50 |" in text
