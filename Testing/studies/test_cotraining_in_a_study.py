"""A student beside its teacher, then one of that teacher's best weights, in one study."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import yaml

from KDSegmentationLogic.bundles.decoding import DecodingError, decode
from KDSegmentationLogic.files import sha256_of
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Study
from KDSegmentationLogic.studies.run import run_study
from KDSegmentationLogic.studies.stages import read_cases
from KDSegmentationLogic.training.dataset import read_decathlon
from KDSegmentationLogic.training.quantised import decode_probabilities
from KDSegmentationLogic.training.validation import case_probabilities
from Testing.studies.made_study import CONTENT, arm, write_dataset
from Testing.training import balls

HOW = {"steps": 8, "batch": 2, "validate_every": 4}
KL = {"dice": 1.0, "kl": {"weight": 1.0, "temperature": 2.0}}


def content() -> dict[str, Any]:
    """Two teachers, and as many runs of a student alone, beside one and taught by one."""

    def twice(name: str, losses: Any, **more: Any) -> dict[str, Any]:
        made = arm(name, losses, 0, **HOW) | more | {"seeds": [5, 6]}
        del made["seed"]
        return made

    beside = {"ensemble": "ensemble", "paired": True, "meanwhile": True}
    return {
        **copy.deepcopy(CONTENT),
        "channels": [{"name": "T1", "modality": "MR", "normalisation": {"method": "none"}}],
        "teachers": [twice("teacher", {"dice": 1.0})],
        "students": [
            twice("beside", KL, distils=beside),
            twice("after", KL, distils={"ensemble": "ensemble", "paired": True}),
        ],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    root = tmp_path_factory.mktemp("study")
    write_dataset(root / "Task99_Made")
    (root / "study.yaml").write_text(yaml.safe_dump(content()), "utf-8")
    folder = RunFolder(root / "run", decode(Study, content(), "study"))
    run_study(root / "study.yaml", root, folder.root, until="students")
    return folder


def test_each_student_beside_its_teacher_leaves_both(folder: RunFolder) -> None:
    for seed in (5, 6):
        for name in (f"teacher-s{seed}", f"beside-s{seed}", f"after-s{seed}"):
            assert folder.is_trained(folder.study.arm(name)), name
        # no training of the teacher alone: it has no checkpoint of its own
        assert not folder.checkpoint(folder.study.arm(f"teacher-s{seed}")).exists()
        beside = folder.arm(folder.study.arm(f"beside-s{seed}"))
        assert (beside / "teacher-8.safetensors").is_file()


def test_the_teachers_course_by_validation_is_kept(folder: RunFolder) -> None:
    facts = folder.facts(folder.study.arm("teacher-s5"))

    assert [entry["step"] for entry in facts["history"]] == [4, 8]
    assert facts["validation_dice"] == max(e["validation_dice"] for e in facts["history"])


def test_each_run_learns_from_its_own_teachers_best_weights(folder: RunFolder) -> None:
    study = folder.study
    dataset = read_decathlon(folder.root.parent / "Task99_Made")
    case = read_cases(study, folder, dataset.split("train")[:1], Monitor())[0]
    for seed in (5, 6):
        teacher = folder.network(study.arm(f"teacher-s{seed}"))
        expected = case_probabilities(case.image, [balls.runner(teacher)])
        student = study.arm(f"after-s{seed}")

        soft = folder.targets(study.distilled(student)).load(case.name)

        assert np.abs(decode_probabilities(soft.mean) - expected).max() <= 1e-4


def test_a_study_that_ran_trains_nothing_again(folder: RunFolder) -> None:
    study = folder.study
    runs = (*study.teacher_runs, *study.student_runs)
    before = {run.name: sha256_of(folder.weights(run)) for run in runs}
    times = {run.name: folder.weights(run).stat().st_mtime_ns for run in runs}

    root = folder.root.parent
    run_study(root / "study.yaml", root, folder.root, until="students")

    assert {run.name: sha256_of(folder.weights(run)) for run in runs} == before
    assert {run.name: folder.weights(run).stat().st_mtime_ns for run in runs} == times


def refusal(student: int, **changes: Any) -> str:
    made = content()
    made["students"][student] |= changes
    with pytest.raises(DecodingError) as caught:
        decode(Study, made, "study")
    return str(caught.value)


def test_two_that_are_trained_together_and_see_other_batches_are_refused() -> None:
    schedule = {**content()["students"][0]["schedule"], "batch": 4}

    assert "teacher-s5 are trained together and differ in batch" in refusal(0, schedule=schedule)
    assert "differ in patch" in refusal(0, patch=[8, 8, 8])


def test_a_student_beside_several_teachers_is_refused() -> None:
    distils = {"ensemble": "ensemble", "meanwhile": True}

    assert "beside one teacher, but learns from 2" in refusal(0, distils=distils)


def test_a_pair_needs_as_many_runs_as_members() -> None:
    assert "paired with 2 members of ensemble, but has 3 runs" in refusal(1, seeds=[1, 2, 3])


def test_a_ramp_without_a_teacher_in_training_is_refused() -> None:
    distils = {"ensemble": "ensemble", "paired": True, "ramp": 5}

    assert "only a training with meanwhile has a ramp" in refusal(1, distils=distils)
