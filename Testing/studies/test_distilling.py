"""From a data set on disk to a distilled student, by way of teachers and soft targets."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.errors import DatasetError, TrainingError
from KDSegmentationLogic.files import sha256_of
from KDSegmentationLogic.inference.predict import Runner
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Arm, Distils, Study, read_study
from KDSegmentationLogic.studies.run import run_study
from KDSegmentationLogic.studies.stages import read_cases, train_arm
from KDSegmentationLogic.training.dataset import Dataset, read_decathlon
from KDSegmentationLogic.training.hardware import Hardware
from KDSegmentationLogic.training.quantised import decode_deviation, decode_probabilities
from KDSegmentationLogic.training.validation import case_probabilities, mean_dice
from Testing.studies.made_study import SPLITS, write_dataset, write_study
from Testing.training import balls


@dataclass(frozen=True)
class Run:
    """A study after its last stage, and the sums of the teachers' weights before targets."""

    study_file: Path
    study: Study
    dataset: Dataset
    folder: RunFolder
    teachers_before: dict[str, str]

    def network(self, name: str) -> Runner:
        arm = self.study.arm(name)
        network = self.folder.network(arm)
        return Runner(arm.member(), balls.runner(network, arm.member().dimensions).engine)

    def dice(self, arm: Arm, split: str = "test") -> float:
        cases = read_cases(self.study, self.folder, self.dataset.split(split), Monitor())
        return mean_dice(self.folder.network(arm), arm.member(), cases)

    def sums(self) -> dict[str, str]:
        return {arm.name: sha256_of(self.folder.weights(arm)) for arm in self.study.teachers}


def go_through(study_file: Path, root: Path) -> Run:
    study, dataset = read_study(study_file), read_decathlon(root / "Task99_Made")
    folder = RunFolder(root / "run", study)
    run_study(study_file, root, folder.root, until="teachers")
    before = {teacher.name: sha256_of(folder.weights(teacher)) for teacher in study.teachers}
    run_study(study_file, root, folder.root)
    return Run(study_file, study, dataset, folder, before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("study")
    write_dataset(root / "Task99_Made")
    write_study(root / "study.yaml")
    return go_through(root / "study.yaml", root)


def test_teachers_and_student_find_balls_that_they_never_saw(run: Run) -> None:
    for name in ("volume", "slices", "student"):
        assert run.dice(run.study.arm(name)) > 0.75, name


def test_a_soft_target_is_the_mean_of_the_teachers_probabilities(run: Run) -> None:
    case = read_cases(run.study, run.folder, run.dataset.split("train"), Monitor())[1]

    teachers = [case_probabilities(case.image, [run.network(n)]) for n in ("volume", "slices")]

    soft = run.folder.targets(Distils()).load(case.name)
    assert np.abs(decode_probabilities(soft.mean) - np.mean(teachers, axis=0)).max() <= 1e-4
    assert (
        np.abs(decode_deviation(soft.deviation) - np.std(teachers, axis=0)).max() <= 1 / 1020 + 1e-5
    )
    assert 0.5 < soft.agreement < 1
    assert np.abs(teachers[0] - teachers[1]).max() > 0.05, "the teachers are not alike"


def test_there_is_one_soft_target_a_training_case(run: Run) -> None:
    found = {path.stem for path in run.folder.targets(Distils()).folder.iterdir()}

    assert found == set(SPLITS["train"])


def test_a_student_trained_alone_has_its_targets_computed(run: Run, tmp_path: Path) -> None:
    again = RunFolder(tmp_path / "again", run.study)
    for teacher in run.study.teachers:
        shutil.copytree(run.folder.arm(teacher), again.arm(teacher))

    train_arm(run.study_file, run.study_file.parent, again.root, "student", threads=None)

    targets = run.folder.targets(Distils()), again.targets(Distils())
    for case in SPLITS["train"]:
        first, second = (each.load(case).mean for each in targets)
        assert np.array_equal(first, second)
    assert again.is_trained(run.study.arm("student"))


def test_it_is_kept_in_which_precision_a_network_was_trained(run: Run, tmp_path: Path) -> None:
    again, slices = RunFolder(tmp_path / "again", run.study), run.study.arm("slices")

    place = run.study_file, run.study_file.parent, again.root
    train_arm(*place, slices.name, hardware=Hardware("cpu", precision="bf16-mixed"), threads=None)

    assert again.facts(slices)["precision"] == "bf16-mixed"
    assert run.folder.facts(slices)["precision"] == "32-true"


def test_a_student_is_not_trained_before_its_teachers(run: Run, tmp_path: Path) -> None:
    again = RunFolder(tmp_path / "again", run.study)
    volume = run.study.arm("volume")
    shutil.copytree(run.folder.arm(volume), again.arm(volume))

    with pytest.raises(TrainingError, match="student needs its teachers, but slices is not"):
        train_arm(run.study_file, run.study_file.parent, again.root, "student", threads=None)

    assert not (again.root / "soft").exists()


def test_the_teachers_stay_as_they_were(run: Run) -> None:
    assert run.sums() == run.teachers_before


def test_the_history_tells_both_terms_and_they_fell(run: Run) -> None:
    history = run.folder.facts(run.study.arm("student"))["history"]

    for term in ("mse_probabilities", "cross_entropy"):
        assert history[-1][term] < history[0][term] / 2


def test_going_through_again_does_nothing_twice(run: Run) -> None:
    def written() -> dict[str, int]:
        files = (path for path in run.folder.root.rglob("*") if path.is_file())
        return {str(path): path.stat().st_mtime_ns for path in files}

    before = written()
    go_through(run.study_file, run.study_file.parent)

    assert written() == before


def test_no_half_written_file_is_left(run: Run) -> None:
    assert not list(run.folder.root.rglob(".writing-*"))


def test_the_report_holds_every_model_on_the_test_cases(run: Run) -> None:
    rows = json.loads(run.folder.report("test.json").read_text("utf-8"))

    ensemble, student = f"{run.study.bundle.name}-ensemble", f"{run.study.bundle.name}-student"
    assert [row["arm"] for row in rows] == [ensemble, student, "volume", "slices"]
    assert {row["cases"] for row in rows} == {len(SPLITS["test"])}


def test_the_bundles_say_what_was_measured_of_them(run: Run) -> None:
    name = f"{run.study.bundle.name}-student"
    (found,) = run.folder.root.glob(f"bundles-*/{name}")
    bundle = load_bundle(found)

    rows = json.loads(run.folder.report("test.json").read_text("utf-8"))
    (row,) = (row for row in rows if row["arm"] == name)
    (measured,) = bundle.description.measured
    assert measured.cases == len(SPLITS["test"])
    assert measured.dice == pytest.approx(row["dice"], abs=1e-4)


@pytest.mark.parametrize("split", ["val", "test"])
def test_cases_that_are_missed_at_the_end_are_missed_before_the_training(
    tmp_path: Path, split: str
) -> None:
    write_dataset(tmp_path / "Task99_Made")
    write_study(tmp_path / "study.yaml")
    lists = tmp_path / "Task99_Made" / "splits.json"
    lists.write_text(json.dumps({**SPLITS, split: []}), "utf-8")

    with pytest.raises(DatasetError, match=f"There is no case under '{split}'"):
        run_study(tmp_path / "study.yaml", tmp_path, tmp_path / "run")

    lists.write_text(json.dumps(SPLITS), "utf-8")
    (tmp_path / "Task99_Made" / "labelsTr" / f"{SPLITS[split][0]}.nii.gz").unlink()
    with pytest.raises(DatasetError, match=f"{SPLITS[split][0]}, under '{split}'.*, has no labels"):
        run_study(tmp_path / "study.yaml", tmp_path, tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_a_test_case_of_other_channels_is_named_before_the_training(tmp_path: Path) -> None:
    write_dataset(tmp_path / "Task99_Made")
    write_study(tmp_path / "study.yaml")
    case = SPLITS["test"][0]
    path = str(tmp_path / "Task99_Made" / "imagesTr" / f"{case}.nii.gz")
    sitk.WriteImage(sitk.JoinSeries([sitk.ReadImage(path)] * 2), path)

    with pytest.raises(DatasetError, match=rf"{case} has 2 channel\(s\), the study has 1"):
        run_study(tmp_path / "study.yaml", tmp_path, tmp_path / "run")

    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
def test_the_device_that_is_asked_for_is_that_of_each_training(tmp_path: Path) -> None:
    write_dataset(tmp_path / "Task99_Made")
    write_study(tmp_path / "study.yaml")

    with pytest.raises(TrainingError, match="train volume: The device cuda is not available"):
        run_study(tmp_path / "study.yaml", tmp_path, tmp_path / "run", hardware=Hardware("cuda"))
