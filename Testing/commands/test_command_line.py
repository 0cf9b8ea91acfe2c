"""What all commands share: help, exit status, and one sentence where something fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from KDSegmentationLogic.commands import inputs, models, study
from KDSegmentationLogic.commands.console import Console, describe
from KDSegmentationLogic.errors import ImageError


def test_help_imports_nothing_heavy_and_names_every_command(project_root: Path) -> None:
    code = (
        "import sys; from KDSegmentationLogic.commands.main import main; main(['--help']);"
        "print([m for m in ('torch', 'SimpleITK', 'numpy', 'slicer') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=project_root, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
    for name in ("models", "segment", "compare", "evaluate", "study", "demo"):
        assert name in run.stdout


@pytest.mark.parametrize("arguments", [[], ["fly"], ["segment"], ["models", "show"], ["--fly"]])
def test_bad_usage_has_exit_status_2(kdseg, arguments) -> None:
    said = kdseg(*arguments)
    assert said.status == 2
    assert "usage: kdseg" in said.err
    assert not said.out


def test_the_version_is_told(kdseg) -> None:
    said = kdseg("--version")
    assert (said.status, said.out.split()[0]) == (0, "kdseg")


def test_flags_may_stand_before_and_after_the_command(kdseg) -> None:
    before, after = kdseg("--json", "models", "list"), kdseg("models", "list", "--json")
    assert json.loads(before.out) == json.loads(after.out)


def test_a_known_failure_is_one_sentence_and_status_1(kdseg) -> None:
    said = kdseg("models", "show", "nothing-of-this-name")
    assert said.status == 1
    assert said.err.startswith("kdseg: No model is called 'nothing-of-this-name'")
    assert said.err.count("\n") == 1


def test_a_bug_is_called_one_and_shows_no_traceback(kdseg, monkeypatch) -> None:
    def broken() -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr(models, "list_bundles", broken)
    said = kdseg("models")
    assert said.status == 1
    assert "bug" in said.err
    assert "--debug" in said.err
    assert "Traceback" not in said.err


def test_debug_shows_where_an_error_came_from(kdseg) -> None:
    said = kdseg("models", "show", "nothing-of-this-name", "--debug")
    assert said.status == 1
    assert "Traceback" in said.err


def test_an_interrupt_ends_with_status_1_and_keeps_what_is_finished(
    kdseg, cohort, student_bundle, tmp_path, monkeypatch, names_in
) -> None:
    read = inputs.Case.read

    def interrupted(case: inputs.Case, monitor):
        if case.name == "case1":
            raise KeyboardInterrupt
        return read(case, monitor)

    monkeypatch.setattr(inputs.Case, "read", interrupted)
    said = kdseg("segment", cohort, "-m", student_bundle.folder, "-o", tmp_path / "out")
    assert said.status == 1
    assert "Cancelled" in said.err
    assert names_in(tmp_path / "out") == ["case0.nii.gz"]


def test_a_missing_package_is_named_as_pip_knows_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    error = ModuleNotFoundError("No module named 'yaml'", name="yaml")
    assert "pip install PyYAML" in describe(error)


def test_a_missing_part_of_a_package_asks_for_a_newer_one() -> None:
    error = ModuleNotFoundError("No module named 'json.tables'", name="json.tables")
    assert "json lacks json.tables" in describe(error)


def test_the_help_of_a_study_offers_its_stages(kdseg) -> None:
    said = kdseg("study", "run", "--help")
    assert said.status == 0
    assert "{teachers,targets,students,bundle,validate,test,report}" in said.out


def test_a_stage_that_is_none_is_refused(kdseg, tmp_path) -> None:
    said = kdseg("study", "run", tmp_path / "s.yaml", "-o", tmp_path / "run", "--until", "lunch")
    assert said.status == 2
    assert "'lunch'" in said.err


def test_a_refusal_of_the_system_names_the_file() -> None:
    text = describe(PermissionError(13, "Permission denied", "locked.csv"))
    assert text.startswith("locked.csv: Permission denied.")


def test_an_undefined_number_is_null_in_json(capsys) -> None:
    Console(as_json=True).result({"hd95": [float("nan"), 1.0]})
    assert json.loads(capsys.readouterr().out) == {"hd95": [None, 1.0]}


def test_progress_is_sparse_where_there_is_no_terminal(capsys) -> None:
    with Console().monitor() as monitor:
        for step in range(1001):
            monitor.report(step / 1000, "work")
    assert 5 <= len(capsys.readouterr().err.splitlines()) <= 11


def test_progress_on_a_terminal_is_one_line_that_is_wiped(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Console().monitor() as monitor:
        monitor.report(0.5, "half way")
        monitor.notice("A notice.")
        monitor.report(1.0, "done")
    written = capsys.readouterr().err
    assert "A notice.\n" in written
    assert "half way" in written
    assert written.count("\n") == 1
    assert written.endswith("\r")


def test_quiet_leaves_results_and_errors_only(kdseg, cohort, student_bundle, tmp_path) -> None:
    (cohort / "case1.nii.gz").write_bytes(b"no image")
    said = kdseg("segment", cohort, "-m", student_bundle.folder, "-o", tmp_path / "out", "--quiet")
    assert len(said.out.splitlines()) == 2
    assert said.err.splitlines()[-1] == "1 of 3 cases failed."
    assert "Running on" not in said.err


def test_a_study_without_data_says_how_to_give_them(kdseg, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("KDSEG_DATA", raising=False)
    said = kdseg("study", "run", tmp_path / "study.yaml", "-o", tmp_path / "run")
    assert said.status == 2
    assert "--data" in said.err
    assert "KDSEG_DATA" in said.err


def test_a_study_file_that_is_not_there_is_named(kdseg, tmp_path) -> None:
    pytest.importorskip("yaml")
    study_file, folder = tmp_path / "study.yaml", tmp_path / "run"
    said = kdseg("study", "run", study_file, "-o", folder, "--data", tmp_path)
    assert said.status == 2
    assert str(study_file) in said.err
    assert not folder.exists()


def test_a_data_folder_that_is_not_there_is_named(tmp_path) -> None:
    from argparse import Namespace

    with pytest.raises(Exception, match="does not exist"):
        study.required_data_folder(Namespace(data=tmp_path / "none"))


def test_an_error_of_several_lines_is_told_on_one() -> None:
    assert describe(ImageError("One\ntwo.", "Three.")) == "One two. Three."
