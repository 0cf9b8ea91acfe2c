"""A study file is read whole, or refused with the key that is wrong."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from KDSegmentationLogic.bundles.decoding import decode, encode
from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.studies.definition import Study, read_study
from Testing.studies.made_study import CONTENT

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "Resources" / "Studies").glob("*.yaml"))

ABSENT = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """The content with the entry at ``teachers.0.seed`` set to a value, or left out."""
    content = copy.deepcopy(CONTENT)
    *way, last = (int(key) if key.isdigit() else key for key in path.split("."))
    place: Any = content
    for key in way:
        place = place[key]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return content


def read(tmp_path: Path, content: Any) -> Study:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(content), "utf-8")
    return read_study(file)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_study_that_ships_can_be_read(path: Path) -> None:
    study = read_study(path)

    assert study.teachers
    assert study.students


def test_some_study_ships() -> None:
    assert SHIPPED


def test_the_file_says_what_the_study_holds(tmp_path: Path) -> None:
    study = read(tmp_path, CONTENT)

    assert study.dataset == "Task99_Made"
    assert [arm.name for arm in study.teachers] == ["slices", "volume"]
    assert study.arm("student").schedule.losses == {"mse_probabilities": 1.0, "dice": 0.1}
    assert study.arm("volume").schedule.mirror == (2,)
    assert study.grid.orientation == "LPS"


def test_an_arm_is_run_as_it_was_trained(tmp_path: Path) -> None:
    study = read(tmp_path, CONTENT)

    slices = study.arm("slices").member()
    assert (slices.architecture, slices.patch) == ("dilated2d", (16, 16))
    assert slices.views == ("axial", "sagittal")
    assert slices.weights == "models/slices.safetensors"
    assert study.arm("volume").member("a" * 64).sha256 == "a" * 64


def test_a_study_comes_back_from_its_encoding(tmp_path: Path) -> None:
    study = read(tmp_path, CONTENT)

    assert decode(Study, encode(study), "study") == study


WRONG: dict[str, tuple[str, Any, str]] = {
    "no data set": ("dataset", ABSENT, r"study\.dataset: is missing"),
    "data set as a number": ("dataset", 4, r"study\.dataset: expected text, found 4"),
    "unknown key": ("epochs", 3, r"study\.epochs: is not a known key"),
    "misspelt optional key": (
        "teachers.0.schedule.learning_rat",
        1.0,
        r"study\.teachers\[0\]\.schedule\.learning_rat: is not a known key",
    ),
    "text for a number": (
        "students.0.schedule.learning_rate",
        "3e-3",
        r"study\.students\[0\]\.schedule\.learning_rate: expected a number, found '3e-3'",
    ),
    "infinite rate": (
        "students.0.schedule.learning_rate",
        float("inf"),
        r"students\[0\]\.schedule\.learning_rate: expected a finite number",
    ),
    "fraction of a step": (
        "teachers.1.schedule.steps",
        2.5,
        r"study\.teachers\[1\]\.schedule\.steps: expected a whole number, found 2\.5",
    ),
    "no list": ("teachers", "two", r"study\.teachers: expected a list, found 'two'"),
    "unknown view": (
        "teachers.0.views",
        ["axial", "oblique"],
        r"study\.teachers\[0\]\.views\[1\]: expected one of axial, coronal, sagittal",
    ),
    "two spacings": ("grid.spacing", [1.0, 1.0], r"study\.grid\.spacing: expected 3 values"),
    "negative spacing": ("grid.spacing", [1.0, 1.0, -1.0], r"study\.grid: a spacing must be"),
    "four dimensions": ("grid.dimensions", 4, r"study\.grid\.dimensions: expected one of 2, 3"),
    "label of value 0": ("labels.0.value", 0, r"study\.labels\[0\]: a label's value must be"),
    "crop without extent": ("field_of_view.kind", "crop", r"study\.field_of_view: a crop needs"),
    "no citation": ("bundle.citation", ABSENT, r"study\.bundle\.citation: is missing"),
    "no step": ("teachers.0.schedule.steps", 0, r"teachers\[0\]\.schedule: steps must be 1"),
    "empty batch": ("teachers.0.schedule.batch", 0, r"teachers\[0\]\.schedule: batch must be 1"),
    "never validated": (
        "students.0.schedule.validate_every",
        0,
        r"study\.students\[0\]\.schedule: validate_every must be 1 or more",
    ),
    "rate of zero": (
        "teachers.0.schedule.learning_rate",
        0.0,
        r"teachers\[0\]\.schedule: learning_rate must be above zero",
    ),
    "negative warm-up": ("teachers.0.schedule.warmup", -1, r"schedule: warmup must not be below"),
    "averaging of 1": ("teachers.0.schedule.averaging", 1.0, r"schedule: averaging must be at"),
    "foreground of 2": ("teachers.0.schedule.foreground", 2.0, r"schedule: foreground must be a"),
    "fourth axis": ("teachers.0.schedule.mirror", [3], r"schedule: mirror must name axes"),
    "unknown loss": (
        "students.0.schedule.losses",
        {"mse": 1.0},
        r"study\.students\[0\]: There is no loss called mse\. Choose from: .*mse_probabilities.*",
    ),
    "weight of zero": (
        "teachers.0.schedule.losses",
        {"dice": 0},
        r"study\.teachers\[0\]: The weight of the loss dice is 0",
    ),
    "no loss": (
        "teachers.1.schedule.losses",
        {},
        r"study\.teachers\[1\]: The training has no loss",
    ),
    "unknown architecture": (
        "students.0.architecture",
        "vnet",
        r"study\.students\[0\]: The architecture 'vnet' is not known",
    ),
    "unknown argument": (
        "students.0.arguments.depth",
        3,
        r"study\.students\[0\]: The architecture 'student_unet' has no argument 'depth'",
    ),
    "missing argument": (
        "teachers.1.arguments.classes",
        ABSENT,
        r"study\.teachers\[1\]: The architecture 'resnet3d' needs the argument 'classes'",
    ),
    "negative seed": ("teachers.0.seed", -1, r"study\.teachers\[0\]: a seed must not be below"),
    "2-D without views": ("teachers.0.views", [], r"study\.teachers\[0\]: a 2-D network needs its"),
    "3-D with views": ("teachers.1.views", ["axial"], r"teachers\[1\]: only a 2-D network has"),
    "patch of 3 for slices": ("teachers.1.patch", [16, 16], r"study\.teachers\[1\]: a 2-D network"),
    "network of other dimensions": (
        "students.0.arguments.dimensions",
        2,
        r"study\.students\[0\]: student_unet is not 3-D",
    ),
    "patch that does not divide": (
        "students.0.patch",
        [16, 18, 16],
        r"study\.students\[0\]: the patch's sizes must be multiples of \(4, 4, 4\)",
    ),
    "name that leaves the folder": (
        "students.0.name",
        "../x",
        r"students\[0\]: the arm's name '\.\./x' is not a plain name",
    ),
    "one name twice": ("students.0.name", "Volume", r"study: two arms have one name"),
    "no teacher": ("teachers", [], r"study: a study needs teachers"),
    "no label": ("labels", [], r"study: a study needs channels and labels"),
    "distilled teacher": (
        "teachers.0.schedule.losses",
        {"mse_probabilities": 1.0},
        r"study: the teacher slices cannot be trained with a distillation term",
    ),
    "classes without background": (
        "teachers.1.arguments.classes",
        1,
        r"study: the study needs classes 2, volume has 1",
    ),
    "channels that are not there": (
        "students.0.arguments.in_channels",
        2,
        r"study: the study needs in_channels 1, student has 2",
    ),
    "two labels of one value": (
        "labels",
        [{"value": 1, "name": name, "color": [0, 0, 0]} for name in "ab"],
        r"study: two labels have the same value",
    ),
    "two labels of one name": (
        "labels",
        [{"value": value, "name": "a", "color": [0, 0, 0]} for value in (1, 2)],
        r"study: two labels have the same name",
    ),
    "setting of a term that it lacks": (
        "students.0.schedule.losses",
        {"kl": {"weight": 1.0, "sharpness": 2}},
        r"study\.students\[0\]: losses\.kl\.sharpness: is not a known key",
    ),
    "seed and seeds": ("students.0.seeds", [1, 2], r"students\[0\]: give either a seed or seeds"),
    "no seed": ("students.0.seed", ABSENT, r"students\[0\]: give either a seed or seeds"),
    "a share of nothing": ("teachers.0.share", 0.0, r"share must be above 0 and at most 1"),
    "one fold": ("teachers.0.folds", 1, r"teachers\[0\]: folds must be 2 or more"),
    "unknown ensemble": (
        "students.0.distils",
        {"ensemble": "uniform"},
        r"study: there is no ensemble uniform, only ensemble",
    ),
    "stability of 2": (
        "students.0.distils",
        {"stability": 2.0},
        r"students\[0\]\.distils: the stability must be a Dice",
    ),
    "out of fold without folds": (
        "students.0.distils",
        {"out_of_fold": True},
        r"study: student wants targets out of fold, but its teachers have no folds",
    ),
    "a distilled baseline": (
        "teachers.0.distils",
        {"ensemble": "ensemble"},
        r"teachers\[0\]: it distils an ensemble, but none of its losses compares",
    ),
    "deviation without a head": (
        "students.0.schedule.losses",
        {"mse_probabilities": 1.0, "deviation": 1.0},
        r"students\[0\]: the loss deviation and the network's argument deviation go together",
    ),
    "a head without deviation": (
        "students.0.arguments.deviation",
        True,
        r"students\[0\]: the loss deviation and the network's argument deviation go together",
    ),
    "a bundle that leaves its folder": (
        "bundle.name",
        "../../x",
        r"study\.bundle: the bundle's name '\.\./\.\./x' is not a plain name",
    ),
    "a data set that leaves its folder": (
        "dataset",
        "../etc",
        r"study: the data set's name '\.\./etc' is not a folder's",
    ),
    "an ensemble that leaves its folder": (
        "ensembles",
        [{"name": "a/b", "members": ["slices"]}],
        r"ensembles\[0\]: the ensemble's name 'a/b' is not a plain name",
    ),
    "a margin of 50 points": (
        "evaluation",
        {"margin": 0.5},
        r"study\.evaluation: margin is a difference of Dice, 0\.1 at most",
    ),
    "noise below zero": (
        "students.0.schedule.augmentation",
        {"noise": -1.0},
        r"augmentation: noise must not be below zero",
    ),
    "a temperature at which nothing is left": (
        "students.0.schedule.losses",
        {"kl": {"weight": 1.0, "temperature": 1e-9}},
        r"students\[0\]: losses\.kl: the temperature must be from 0\.1 to 100",
    ),
    "a correlation of a sign": (
        "students.0.schedule.losses",
        {"dist": {"weight": 1.0, "within": 0.0}},
        r"study: the loss dist of student needs 3 classes with background, the study has 2",
    ),
    "a zoom to nothing": (
        "students.0.schedule.augmentation",
        {"scale": 1.0},
        r"augmentation: scale must be below 1",
    ),
    "an ensemble of strangers": (
        "ensembles",
        [{"name": "diverse", "members": ["slices", "vnet"]}],
        r"study: diverse names vnet, which is no teacher",
    ),
    "an ensemble of nobody": (
        "ensembles",
        [{"name": "diverse", "members": []}],
        r"study: the ensemble diverse has no member",
    ),
    "an ensemble called like a student": (
        "ensembles",
        [{"name": "Student", "members": ["slices"]}],
        r"study: an ensemble and a network have one name: student",
    ),
    "an ensemble called like a teacher": (
        "ensembles",
        [{"name": "volume", "members": ["volume", "slices"]}],
        r"study: an ensemble and a network have one name: volume",
    ),
    "a member twice": (
        "ensembles",
        [{"name": "diverse", "members": ["volume", "volume", "slices"]}],
        r"study: two members of diverse have one name",
    ),
    "best member with arguments": (
        "students.0.architecture",
        "best_member",
        r"students\[0\]: best_member takes arguments, patch, views and channels from that member",
    ),
    "volumes of pictures": ("grid", {"dimensions": 2}, r"study: volume is a 3-D network on a 2-D"),
}


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_entry_is_refused_with_its_key(
    tmp_path: Path, path: str, value: Any, sentence: str
) -> None:
    with pytest.raises(UsageError, match=rf"study\.yaml: .*{sentence}.* Correct this entry\."):
        read(tmp_path, changed(path, value))


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_a_file_that_holds_no_entries_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(UsageError, match=r"study\.yaml: study: expected an object"):
        read(tmp_path, content)


def test_an_entry_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("dataset: a\ndataset: b\n", "utf-8")

    with pytest.raises(UsageError, match="the entry dataset is given twice"):
        read_study(tmp_path / "study.yaml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml does not exist"):
        read_study(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    "text", [b"a: [1", b"a: b: c", b"\xff\xfe\x00", b"? [1]\n: 2", b"a: !!python/object:x.Y {}"]
)
def test_a_file_that_is_not_plain_yaml_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "study.yaml").write_bytes(text)

    with pytest.raises(UsageError, match=r"study\.yaml is not valid YAML"):
        read_study(tmp_path / "study.yaml")


def with_groups() -> dict[str, Any]:
    """Two ensembles of three seeds and of two folds, and students of either."""
    content = copy.deepcopy(CONTENT)
    slices, volume = content["teachers"]
    del volume["seed"], slices["seed"]
    volume["seeds"] = [1, 2, 3]
    slices |= {"seeds": [4], "folds": 2}
    content["ensembles"] = [
        {"name": "uniform", "members": ["volume"]},
        {"name": "folds", "members": ["slices"]},
    ]
    student = content["students"][0]
    content["students"] = [
        {**student, "name": "uniform-student", "distils": {"ensemble": "uniform"}},
        {**student, "name": "oof", "distils": {"ensemble": "folds", "out_of_fold": True}},
        {
            **student,
            "name": "baseline",
            "schedule": {**student["schedule"], "losses": {"dice": 1.0}},
        },
    ]
    return content


def test_an_arm_of_several_seeds_and_folds_is_several_runs(tmp_path: Path) -> None:
    study = read(tmp_path, with_groups())

    names = [run.name for run in study.teacher_runs]
    assert names == ["slices-f0", "slices-f1", "volume-s1", "volume-s2", "volume-s3"]
    assert [run.run_seed for run in study.members("uniform")] == [1, 2, 3]
    assert [run.fold for run in study.members("folds")] == [0, 1]
    assert study.arm("volume-s2").run_seed == 2


def test_each_student_says_what_it_learns_from(tmp_path: Path) -> None:
    study = read(tmp_path, with_groups())

    learns = {run.name: study.learns_from(run) for run in study.student_runs}
    assert learns == {"uniform-student": "uniform", "oof": "folds", "baseline": None}


def test_a_student_of_two_ensembles_has_to_choose(tmp_path: Path) -> None:
    content = with_groups()
    del content["students"][0]["distils"]

    with pytest.raises(UsageError, match="uniform-student does not say which it distils"):
        read(tmp_path, content)


def test_without_named_ensembles_all_teachers_are_one(tmp_path: Path) -> None:
    study = read(tmp_path, CONTENT)

    assert study.ensemble_names == ("ensemble",)
    assert [run.name for run in study.members("ensemble")] == ["slices", "volume"]
    assert study.learns_from(study.arm("student")) == "ensemble"
