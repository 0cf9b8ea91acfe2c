"""Students that ask their teachers during the training: in a study, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import yaml

from KDSegmentationLogic.bundles.decoding import DecodingError, decode
from KDSegmentationLogic.errors import TrainingError
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Study
from KDSegmentationLogic.studies.run import run_study
from KDSegmentationLogic.studies.stages import train_arm
from Testing.studies.made_study import CONTENT, arm, write_dataset

HOW = {"steps": 2, "batch": 2, "validate_every": 2, "augmentation": {"spatial_share": 0.0}}
BOTH = {"mse_probabilities": 1.0, "attention": {"weight": 1.0, "layers": ["last", "bottleneck"]}}


def content() -> dict[str, Any]:
    """Two teachers of different seeds and students that read their layers."""
    teacher = {**arm("teacher", {"dice": 1.0}, 0, **HOW), "seeds": [5, 6]}
    del teacher["seed"]
    named = {"ensemble": "both", "online": True}
    students = [
        {**arm("plain", BOTH, 3, **HOW), "distils": named},
        {**arm("first", BOTH, 3, **HOW), "distils": {**named, "features_of": "teacher-s5"}},
        {**arm("second", BOTH, 3, **HOW), "distils": {**named, "features_of": "teacher-s6"}},
    ]
    return {
        **copy.deepcopy(CONTENT),
        "channels": [{"name": "T1", "modality": "MR", "normalisation": {"method": "none"}}],
        "teachers": [teacher],
        "ensembles": [{"name": "both", "members": ["teacher"]}],
        "students": students,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    root = tmp_path_factory.mktemp("study")
    write_dataset(root / "Task99_Made")
    (root / "study.yaml").write_text(yaml.safe_dump(content()), "utf-8")
    folder = RunFolder(root / "run", decode(Study, content(), "study"))
    run_study(root / "study.yaml", root, folder.root, until="students")
    return folder


def weights(folder: RunFolder, name: str) -> list[torch.Tensor]:
    return list(folder.network(folder.study.arm(name)).state_dict().values())


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_each_student_learns_without_stored_targets(folder: RunFolder) -> None:
    for run in folder.study.student_runs:
        losses = folder.facts(run)["history"][-1]
        assert losses["attention"] > 0
        assert losses["mse_probabilities"] > 0
    assert not (folder.root / "soft").exists()


def test_layers_are_read_of_the_best_teacher_by_validation_or_of_the_named_one(
    folder: RunFolder,
) -> None:
    best = folder.best(folder.study.teacher_runs).name
    named, other = ("first", "second") if best == "teacher-s5" else ("second", "first")

    assert same(weights(folder, "plain"), weights(folder, named))
    assert not same(weights(folder, "plain"), weights(folder, other))


def test_teachers_that_are_not_trained_are_named(folder: RunFolder) -> None:
    root = folder.root.parent

    with pytest.raises(TrainingError, match=r"plain needs its teachers, but teacher-s5 is not"):
        train_arm(root / "study.yaml", root, root / "elsewhere", "plain", threads=None)


# ---- refused before anything is trained


def refusal(**changes: Any) -> str:
    made = content()
    made["students"] = [{**made["students"][0], **changes}]
    return refused(made)


def refused(made: dict[str, Any]) -> str:
    with pytest.raises(DecodingError) as caught:
        decode(Study, made, "study")
    return str(caught.value)


def reading(*layers: str) -> dict[str, Any]:
    losses = {"attention": {"weight": 1.0, "layers": list(layers)}}
    return {**content()["students"][0]["schedule"], "losses": losses}


def test_a_layer_that_the_student_lacks_is_refused() -> None:
    assert (
        "the losses of plain read the layer encoder3, which plain (student_unet) lacks; "
        "it has last, bottleneck, encoder1" in refusal(schedule=reading("encoder3"))
    )


def test_a_layer_that_a_teacher_lacks_is_refused() -> None:
    arguments = {"in_channels": 1, "classes": 2, "dimensions": 3, "widths": [4, 8, 8]}

    said = refusal(schedule=reading("encoder3"), arguments=arguments)

    assert "read the layer encoder3, which teacher-s5 (student_unet) lacks" in said


def test_terms_on_layers_without_a_teacher_online_are_refused() -> None:
    said = refusal(distils={"ensemble": "both"})

    assert "the losses of plain read layers, which needs distils: {online: true}" in said


def test_a_teacher_of_other_classes_is_refused() -> None:
    made = content()
    made["teachers"][0]["arguments"]["classes"] = 3

    assert "the study needs classes 2, teacher has 3" in refused(made)


def test_a_teacher_of_slices_is_not_asked_about_volumes() -> None:
    made = content()
    arguments = {"in_channels": 1, "classes": 2, "dimensions": 2, "widths": [8, 16]}
    made["teachers"][0] |= {"arguments": arguments, "patch": [16, 16], "views": ["axial"]}

    assert "plain cannot ask teacher-s5 during its training: one sees slices" in refused(made)


def test_a_patch_that_does_not_fit_a_teacher_is_refused() -> None:
    made = content()
    made["teachers"][0]["arguments"]["widths"] = [4, 4, 4, 4, 4, 4]
    made["teachers"][0]["patch"] = [64, 64, 64]

    assert "the patch's sizes must be multiples of (64, 64, 64)" in refused(made)


def test_features_of_a_network_that_is_no_teacher_of_it_are_refused() -> None:
    distils = {"ensemble": "both", "online": True, "features_of": "plain"}

    assert "reads features of plain, which is not among its teachers" in refusal(distils=distils)


@pytest.mark.parametrize("setting", ["out_of_fold", "unlabelled", "meanwhile"])
def test_settings_that_need_stored_targets_are_refused_online(setting: str) -> None:
    distils = {"ensemble": "both", "online": True, setting: True}

    assert "goes with online" in refusal(distils=distils)


def test_the_member_whose_layers_are_read_is_named_online_alone() -> None:
    distils = {"ensemble": "both", "features_of": "teacher-s5"}

    assert "features_of goes with online alone" in refusal(distils=distils)
