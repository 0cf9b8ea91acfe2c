"""Models of a run under names of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.bundles.monai import Release
from KDSegmentationLogic.errors import BundleError, UsageError
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import read_study
from KDSegmentationLogic.studies.releasing import release_bundles
from KDSegmentationLogic.studies.run import run_study
from KDSegmentationLogic.training.trainer import Trained
from Testing.studies.made_study import write_dataset, write_study

PAIR = {"all": "ensemble", "small": "student"}
DICE = {"student-s1": 0.5, "student-s2": 0.7, "student-s3": 0.6}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Both teachers and three of four students are trained and bundled."""
    root = tmp_path_factory.mktemp("released")
    write_dataset(root / "Task99_Made")
    write_study(root / "study.yaml")
    content: dict[str, Any] = yaml.safe_load((root / "study.yaml").read_text("utf-8"))
    (student,) = content["students"]
    del student["seed"]
    student["seeds"] = [1, 2, 3, 4]
    (root / "study.yaml").write_text(yaml.safe_dump(content), "utf-8")
    folder = RunFolder(root / "run", read_study(root / "study.yaml"))
    for name, dice in {"volume": 0.5, "slices": 0.5, **DICE}.items():
        arm = folder.study.arm(name)
        network = build_network(arm.architecture, arm.arguments)
        folder.save_trained(arm, Trained(network, dice, 1, ()))
    run_study(root / "study.yaml", root, folder.root, until="bundle", trained_only=True)
    return folder


def test_models_get_the_new_names_and_name_each_other(run: RunFolder, tmp_path: Path) -> None:
    written = release_bundles(run, PAIR, tmp_path)

    assert [bundle.name for bundle in written] == ["Ball-all", "Ball-small"]
    relatives = [load_bundle(tmp_path / b.name).description.relative for b in written]
    assert relatives == ["Ball-small", "Ball-all"]
    assert "-m Ball-small" in written[1].readme


def test_models_of_one_title_are_told_apart_by_what_the_study_calls_them(
    run: RunFolder, tmp_path: Path
) -> None:
    chosen = {"small": "student-s1", "other": "student-s2", "all": "ensemble"}
    titles = [bundle.description.title for bundle in release_bundles(run, chosen, tmp_path)]

    assert titles[0].endswith("student (student-s1)")
    assert titles[1].endswith("student (student-s2)")
    assert "(" not in titles[2]


def test_an_arm_stands_for_its_best_run_by_validation(run: RunFolder, tmp_path: Path) -> None:
    (written,) = release_bundles(run, {"small": "student"}, tmp_path)

    assert written.description.members[0].weights == "models/student-s2.safetensors"


def test_a_run_may_be_named_itself(run: RunFolder, tmp_path: Path) -> None:
    (written,) = release_bundles(run, {"small": "student-s3"}, tmp_path)

    assert written.description.members[0].weights == "models/student-s3.safetensors"


def test_a_model_whose_teacher_stays_behind_names_nobody(run: RunFolder, tmp_path: Path) -> None:
    (written,) = release_bundles(run, {"small": "student"}, tmp_path)

    assert written.description.relative is None


def test_the_version_is_written_and_the_runs_own_bundle_stays(
    run: RunFolder, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}

    (written,) = release_bundles(
        run, {"small": "student"}, tmp_path, Release("2.0.0", "trained longer")
    )

    text = (written.folder / "configs" / "metadata.json").read_text("utf-8")
    assert '"2.0.0": "trained longer"' in text
    assert before == {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("teacher", "The study has no ensemble or student called teacher. Choose from: ensemble,"),
        ("student-s4", "There is no bundle of student-s4 in"),
    ],
)
def test_nothing_is_written_where_one_model_is_missing(
    run: RunFolder, tmp_path: Path, name: str, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        release_bundles(run, {"all": "ensemble", "small": name}, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_models_of_these_names_are_replaced_only_where_that_is_asked_for(
    run: RunFolder, tmp_path: Path
) -> None:
    release_bundles(run, {"small": "student-s1"}, tmp_path)

    with pytest.raises(BundleError, match="exists"):
        release_bundles(run, PAIR, tmp_path)
    assert not (tmp_path / "Ball-all").exists()
    release_bundles(run, PAIR, tmp_path, replace=True)

    best = load_bundle(tmp_path / "Ball-small").description.members[0]
    assert best.weights == "models/student-s2.safetensors"


def test_the_command_says_what_it_wrote_and_that_it_was_not_measured(
    run: RunFolder, kdseg, tmp_path: Path
) -> None:
    said = kdseg("study", "release", run.root, "all=ensemble", "small=student", "-o", tmp_path)

    assert said.status == 0
    assert f"{tmp_path / 'Ball-small'} is written, not measured yet." in said.out + said.err


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        (["small"], "'small' is not of the form NAME=MODEL"),
        (["small=student", "small=student-s1"], "Two models are to have one name."),
        (["../out=student"], "'../out' cannot be part of a model's name"),
    ],
)
def test_a_pair_that_makes_no_sense_is_refused(
    run: RunFolder, kdseg, tmp_path: Path, models: list[str], sentence: str
) -> None:
    said = kdseg("study", "release", run.root, *models, "-o", tmp_path / "out")

    assert said.status == 2
    assert sentence in said.err
    assert not (tmp_path / "out").exists()
