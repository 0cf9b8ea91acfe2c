"""Teachers of one structure each, an assistant that hears them all, and a student of that."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import yaml

from KDSegmentationLogic.bundles.decoding import DecodingError, decode
from KDSegmentationLogic.distillation.merging import merged
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.bundling import write_bundles
from KDSegmentationLogic.studies.definition import Study
from KDSegmentationLogic.studies.run import run_study
from KDSegmentationLogic.studies.stages import read_cases
from KDSegmentationLogic.training.dataset import read_decathlon
from KDSegmentationLogic.training.quantised import decode_probabilities
from KDSegmentationLogic.training.validation import case_probabilities
from Testing.studies.made_study import CONTENT, arm, write_dataset
from Testing.training import balls

HOW = {"steps": 2, "batch": 2, "validate_every": 2, "augmentation": {"spatial_share": 0.0}}
KL = {"kl": 1.0, "dice": 1.0}
ORDER = ("organs", "assistant")


def content() -> dict[str, Any]:
    """The ensembles stand in the file the wrong way round."""

    def learner(name: str, ensemble: str, seed: int, **more: Any) -> dict[str, Any]:
        made = {**arm(name, KL, seed, **HOW), "distils": {"ensemble": ensemble, **more}}
        made["arguments"] = {**made["arguments"], "classes": 3}
        return made

    return {
        **copy.deepcopy(CONTENT),
        "channels": [{"name": "T1", "modality": "MR", "normalisation": {"method": "none"}}],
        "labels": [
            {"value": 1, "name": "left", "color": [255, 0, 0]},
            {"value": 2, "name": "right", "color": [0, 255, 0]},
        ],
        "teachers": [
            {**arm("of-right", {"dice": 1.0}, 1, **HOW), "labels": ["right"]},
            {**arm("of-left", {"dice": 1.0}, 2, **HOW), "labels": ["left"]},
        ],
        "ensembles": [
            {"name": "assistant", "members": ["large"]},
            {"name": "organs", "members": ["of-right", "of-left"]},
        ],
        "students": [
            learner("small", "assistant", 3),
            learner("large", "organs", 4),
            learner("asking", "organs", 5, online=True),
        ],
    }


def write_halves(folder: Path) -> None:
    """The balls, with another label on the right half."""
    write_dataset(folder)
    for path in (folder / "labelsTr").glob("*.nii.gz"):
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        labels[..., 8:] *= 2
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    root = tmp_path_factory.mktemp("study")
    write_halves(root / "Task99_Made")
    (root / "study.yaml").write_text(yaml.safe_dump(content()), "utf-8")
    folder = RunFolder(root / "run", decode(Study, content(), "study"))
    run_study(root / "study.yaml", root, folder.root, until="targets")
    assert not folder.is_trained(folder.study.arm("large"))
    run_study(root / "study.yaml", root, folder.root, until="students")
    return folder


def soft(folder: RunFolder, student: str, case: str) -> np.ndarray:
    distils = folder.study.distilled(folder.study.arm(student))
    return decode_probabilities(folder.targets(distils).load(case).mean)


def test_an_assistant_is_trained_before_its_student_in_whatever_order_they_are_listed(
    folder: RunFolder,
) -> None:
    assert folder.study.ensembles_in_order == ORDER
    assert all(folder.is_trained(run) for run in folder.study.student_runs)

    dataset = read_decathlon(folder.root.parent / "Task99_Made")
    case = read_cases(folder.study, folder, dataset.split("train")[:1], Monitor())[0]
    assistant = folder.network(folder.study.arm("large"))
    expected = case_probabilities(case.image, [balls.runner(assistant)])
    assert np.abs(soft(folder, "small", case.name) - expected).max() <= 1e-4


def test_teachers_of_one_structure_each_are_heard_together(folder: RunFolder) -> None:
    study = folder.study
    dataset = read_decathlon(folder.root.parent / "Task99_Made")
    case = read_cases(study, folder, dataset.split("train")[:1], Monitor())[0]
    each = [
        torch.from_numpy(case_probabilities(case.image, [balls.runner(folder.network(arm))]))[None]
        for arm in study.teacher_runs
    ]
    assert [p.shape[1] for p in each] == [2, 2]

    expected = merged(each, [(2,), (1,)])[0].numpy()

    assert np.abs(soft(folder, "large", case.name) - expected).max() <= 1e-4


def test_a_teacher_of_one_structure_takes_the_other_for_background(folder: RunFolder) -> None:
    dataset = read_decathlon(folder.root.parent / "Task99_Made")
    case = read_cases(folder.study, folder, dataset.split("train")[:1], Monitor())[0]

    alone = case.of_classes(folder.study.knows(folder.study.arm("of-right")))

    assert np.array_equal(alone.labels, case.labels == 2)
    assert case.of_classes(()) is case


def test_only_models_of_all_structures_are_bundled(folder: RunFolder) -> None:
    dataset = read_decathlon(folder.root.parent / "Task99_Made")

    written = write_bundles(folder.study, dataset, folder, Monitor())

    relatives = {b.folder.name: b.description.relative for b in written}
    assert relatives == {
        "Ball-assistant": "Ball-small",
        "Ball-small": "Ball-assistant",
        "Ball-large": None,
        "Ball-asking": None,
    }


# ---- refused before anything is trained


def refusal(made: dict[str, Any]) -> str:
    with pytest.raises(DecodingError) as caught:
        decode(Study, made, "study")
    return str(caught.value)


def test_a_teacher_is_not_taken_for_another_structures_where_their_names_are_changed(
    folder: RunFolder,
) -> None:
    made = content()
    first, second = made["labels"]
    first["name"], second["name"] = second["name"], first["name"]
    changed = RunFolder(folder.root, decode(Study, made, "study"))

    assert changed.arm(changed.study.arm("of-left")) != folder.arm(folder.study.arm("of-left"))


def test_a_circle_of_assistants_is_refused() -> None:
    made = content()
    made["students"][1]["distils"]["ensemble"] = "assistant"

    assert "the ensemble assistant has a member that learns from it" in refusal(made)


def test_an_assistant_of_unknown_architecture_is_refused() -> None:
    made = content()
    made["students"][1] |= {"architecture": "best_member"}
    del made["students"][1]["arguments"], made["students"][1]["patch"]

    assert "names large, whose architecture is not known yet" in refusal(made)


def test_a_structure_that_no_teacher_knows_is_named() -> None:
    made = content()
    made["ensembles"][1]["members"] = ["of-right"]

    assert "no teacher of large knows left" in refusal(made)


def test_teachers_that_know_a_structure_beside_different_others_are_refused() -> None:
    made = content()
    made["ensembles"][1]["members"].append("small")

    assert "that know left differ in what else they know" in refusal(made)


def test_a_student_of_some_structures_is_refused() -> None:
    made = content()
    made["students"][0]["labels"] = ["left"]
    made["students"][0]["arguments"]["classes"] = 2

    assert "small is a student: it learns all labels" in refusal(made)


def test_a_structure_that_the_study_lacks_is_refused() -> None:
    made = content()
    made["teachers"][0]["labels"] = ["middle"]

    assert "of-right knows the label middle, but the study has only left, right" in refusal(made)


def test_the_deviation_of_teachers_of_different_structures_is_refused() -> None:
    made = content()
    made["students"][1]["schedule"]["losses"] = {"kl": 1.0, "deviation": 1.0}
    made["students"][1]["arguments"]["deviation"] = True

    assert "which have no deviation" in refusal(made)


def test_a_term_that_needs_more_classes_is_refused() -> None:
    made = copy.deepcopy(CONTENT)
    made["students"][0]["schedule"]["losses"] = {"kl_standardised": 1.0}

    assert "the loss kl_standardised of student needs 3 classes with background" in refusal(made)


def test_teachers_of_single_structures_without_a_student_are_refused() -> None:
    made = content()
    made["ensembles"], made["students"] = made["ensembles"][1:], []

    assert "there is no student: there would be no model" in refusal(made)
