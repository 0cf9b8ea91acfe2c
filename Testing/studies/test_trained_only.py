"""A study that was stopped early: what is trained is measured, and the rest is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from KDSegmentationLogic.bundles.decoding import decode
from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Study, read_study
from KDSegmentationLogic.studies.reporting.content import gather
from KDSegmentationLogic.studies.run import run_study
from Testing.studies import test_chains
from Testing.studies.made_results import keep_networks, made_run
from Testing.studies.made_study import write_dataset, write_study


def stopped_study(root: Path) -> RunFolder:
    """One of two teachers and one of two seeds of the student are trained, the baseline not."""
    write_dataset(root / "Task99_Made")
    write_study(root / "study.yaml")
    content: dict[str, Any] = yaml.safe_load((root / "study.yaml").read_text("utf-8"))
    (student,) = content["students"]
    plain = {**student, "name": "plain", "schedule": {"losses": {"dice": 1.0}, "steps": 10}}
    del student["seed"]
    content["students"] = [{**student, "seeds": [1, 2]}, plain]
    (root / "study.yaml").write_text(yaml.safe_dump(content), "utf-8")
    folder = RunFolder(root / "run", read_study(root / "study.yaml"))
    keep_networks(folder, "volume", "student-s1")
    return folder


def bundles(folder: RunFolder) -> set[str]:
    return {path.name for path in folder.root.glob("bundles-*/*")}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    folder = stopped_study(tmp_path_factory.mktemp("stopped"))
    root = folder.root.parent
    run_study(root / "study.yaml", root, folder.root, trained_only=True)
    return folder


def test_what_is_trained_is_measured_and_nothing_is_trained(measured: RunFolder) -> None:
    runs = (*measured.study.teacher_runs, *measured.study.student_runs)

    assert {run.name for run in runs if measured.is_trained(run)} == {"volume", "student-s1"}
    assert not (measured.root / "soft").exists()
    assert bundles(measured) == {"Ball-student-s1", "Ball-volume"}
    assert "test" in gather(measured, "", "").run("student-s1").results


def test_a_member_of_an_ensemble_that_is_not_whole_is_measured_alone(measured: RunFolder) -> None:
    teacher = gather(measured, "", "").run("volume")

    assert "test" in teacher.results
    assert teacher.cost is not None


def test_the_report_lists_what_was_not_run(measured: RunFolder) -> None:
    text = (measured.root / "report" / "report.md").read_text("utf-8")
    _, after = text.split("Not run:\n\n")

    assert [line.removeprefix("- ") for line in after.split("\n\n")[0].splitlines()] == [
        "ensemble was not measured",
        "student-s2 was not trained",
        "plain was not trained",
        "slices was not trained",
    ]


def test_it_stops_after_the_stage_that_is_named(tmp_path: Path) -> None:
    folder = stopped_study(tmp_path)

    run_study(tmp_path / "study.yaml", tmp_path, folder.root, until="bundle", trained_only=True)

    assert bundles(folder) == {"Ball-student-s1", "Ball-volume"}
    assert not (folder.root / "results").exists()


def test_a_stage_before_the_bundles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Up to the stage targets there is nothing to do"):
        run_study(tmp_path / "s.yaml", tmp_path, tmp_path, until="targets", trained_only=True)


def test_a_teacher_of_some_structures_that_is_not_trained_is_listed(tmp_path: Path) -> None:
    folder = made_run(tmp_path, of=decode(Study, test_chains.content(), "study"))

    missing = gather(folder, "", "").missing

    assert {"of-left was not trained", "of-right was not trained"} <= set(missing)


def test_a_model_that_was_measured_on_validation_alone_is_listed(tmp_path: Path) -> None:
    made_run(tmp_path)
    folder = made_run(tmp_path, splits=("test",), left_out="Ball-plain-s2")

    assert gather(folder, "", "").missing == ("plain-s2 was not measured on the test cases",)
