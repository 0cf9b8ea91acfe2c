"""A study is drafted for a data set, and the studies of the papers' sets find their cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from KDSegmentationLogic.bundles.decoding import decode
from KDSegmentationLogic.commands.main import main
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.definition import read_study
from KDSegmentationLogic.training.cases import load_cases
from KDSegmentationLogic.training.dataset import find_dataset
from KDSegmentationLogic.training.fingerprint import Fingerprint
from Testing.training import made_layouts as made

SHIPPED = Path(__file__).resolve().parents[2] / "Resources" / "Studies"


@pytest.mark.parametrize(
    "make", [made.nnunet, made.pictures, made.segthor, made.acdc], ids=lambda make: make.__name__
)
def test_a_draft_is_a_study_whose_cases_load(
    tmp_path: Path, make: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "Dataset007_Größe")
    if make is made.nnunet:
        (folder / "splits.json").write_text('{"train": ["a", "b", "c"], "val": ["d"]}')
    output = tmp_path / "study.yaml"

    assert main(["study", "init", str(folder), "-o", str(output), "--quiet"]) == 0

    study = read_study(output)
    assert study.dataset == "Dataset007_Größe"
    assert len(study.teachers) == 6
    assert [arm.name for arm in study.students] == ["student", "baseline"]
    assert study.learns_from(study.students[0]) == "ensemble"
    assert study.learns_from(study.students[1]) is None
    dataset = find_dataset(study.dataset, tmp_path)
    values = [label.value for label in study.labels]
    cases = load_cases(dataset.split("val"), study.channels, study.grid, values, Monitor())
    assert {case.labels.max() for case in cases} == {len(values)}
    assert str(output) in capsys.readouterr().out


def test_student_and_baseline_differ_in_their_losses_alone(tmp_path: Path) -> None:
    made.pictures(tmp_path / "Dataset001_Made")
    output = tmp_path / "study.yaml"
    main(["study", "init", "Dataset001_Made", "--data", str(tmp_path), "-o", str(output)])

    student, baseline = read_study(output).students

    assert (student.arguments, student.patch, student.seed) == (
        baseline.arguments,
        baseline.patch,
        baseline.seed,
    )
    assert vars(student.schedule) | {"losses": None} == vars(baseline.schedule) | {"losses": None}
    assert student.schedule.losses != baseline.schedule.losses


def test_a_draft_says_what_was_drawn_and_what_was_measured(tmp_path: Path) -> None:
    output = tmp_path / "study.yaml"
    main(["study", "init", str(made.segthor(tmp_path / "SegTHOR")), "-o", str(output)])

    text = output.read_text("utf-8")

    assert "# Cases: 7 to train, 1 to validate, 2 to test, 2 without labels.\n" in text
    assert "no list for val and test: it is drawn by patient" in text
    assert "# in 7 of 7 cases, median" in text
    assert max(map(len, text.splitlines())) <= 160


def test_what_was_measured_is_printed_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made.pictures(tmp_path / "Dataset001_Made")

    main(["study", "init", str(folder), "-o", str(tmp_path / "s.yaml"), "--json", "--cases", "2"])

    printed = json.loads(capsys.readouterr().out)
    assert decode(Fingerprint, printed["fingerprint"], "fingerprint").measured == 2
    assert printed["plan"]["grid"]["dimensions"] == 2


def test_a_study_that_is_there_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made.pictures(tmp_path / "Dataset001_Made")
    output = tmp_path / "study.yaml"
    output.write_text("mine")

    assert main(["study", "init", str(folder), "-o", str(output)]) == 2

    assert output.read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["nothing"], "The data set nothing is not in"),
        (["empty"], "is in no layout that is known"),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused(
    tmp_path: Path, given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()

    assert main(["study", "init", *given, "--data", str(tmp_path)]) == 1

    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "make", "channel"), [("segthor", made.segthor, "CT"), ("acdc", made.acdc, "cine MR")]
)
def test_a_papers_study_finds_its_cases(
    tmp_path: Path, name: str, make: Callable[[Path], Path], channel: str
) -> None:
    study = read_study(SHIPPED / f"{name}.yaml")
    make(tmp_path / study.dataset)

    dataset = find_dataset(study.dataset, tmp_path)

    assert dataset.channels == (channel,) == tuple(c.name for c in study.channels)
    assert [label.value for label in study.labels] == list(dataset.labels)
    assert [label.name for label in study.labels] == list(dataset.labels.values())
    assert len(study.members("diverse")) == len(study.members("uniform")) == 6
    values = [label.value for label in study.labels]
    for split in ("train", "val", "test"):
        files = dataset.split(split)[:1]
        (case,) = load_cases(files, study.channels, study.grid, values, Monitor())
        assert case.labels.max() == len(values)
