"""What the panels say of a model, a device, a run and a comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from KDSegmentationLogic.bundles.description import Measurement
from KDSegmentationLogic.scene.view import cards, choices, comparing, estimates, saving, setup
from KDSegmentationLogic.scene.view.licences import AcceptedLicences
from KDSegmentationLogic.scene.view.text import duration, listed
from Testing.scene.view.models import ENSEMBLE, STUDENT, WHOLE, channels, model


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.083, "0.08 s"),
        (0.4, "0.4 s"),
        (1.2, "1.2 s"),
        (12.4, "12 s"),
        (200, "3 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_times_are_said_as_one_says_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_names_are_listed_as_one_lists_them() -> None:
    assert [listed(n) for n in ([], ["a"], ["a", "b", "c"])] == ["", "a", "a, b and c"]


def measured(dice: float) -> Measurement:
    return Measurement(
        data="Task04_Hippocampus, test",
        cases=24,
        dice={"Anterior hippocampus": dice},
        hd95_mm={"Anterior hippocampus": 1.5},
        seconds_per_case=0.08,
        peak_memory_gib=0.43,
        hardware="x86_64, 2 cores, cpu",
    )


def test_the_card_says_all_that_one_wants_to_know_before_trusting_a_model() -> None:
    card = cards.card(
        model("small", measured=(measured(0.877),)), model("all", measured=(measured(0.872),))
    )
    for expected in (
        "Anterior hippocampus",
        "T1",
        "CC-BY-SA-4.0",
        "Noothout",
        "Decathlon",
        "0.877",  # Dice of the student
        "0.872",  # and of its ensemble
        "0.08 s",
        "0.43 GiB",
        "distilled",
        "not for clinical use",
    ):
        assert expected in card.replace("&nbsp;", " "), expected


def test_a_model_cannot_put_its_own_html_into_the_panel() -> None:
    card = cards.card(model("bad", training_data="<img src='file:///etc/passwd'>"))
    assert "<img" not in card
    assert "&lt;img" in card


def test_a_licence_is_accepted_once_for_the_student_and_its_ensemble() -> None:
    licences = AcceptedLicences()
    assert not licences.accepted(STUDENT)
    licences.accept(STUDENT)
    again = AcceptedLicences(licences.stored())
    assert again.accepted(STUDENT)
    assert again.accepted(ENSEMBLE)
    assert not again.accepted(model("other", licence="MIT"))
    again.withdraw(STUDENT)
    assert not AcceptedLicences(again.stored()).accepted(STUDENT)


@pytest.mark.parametrize("stored", ["{", '{"a": 1}', "[1, 2]", "null"])
def test_damaged_settings_count_as_nothing_accepted(stored: str) -> None:
    assert not AcceptedLicences(stored).accepted(STUDENT)


def test_the_device_is_given_with_its_reason() -> None:
    assert estimates.device_reason("auto", ("cpu", "no GPU found")) == "No GPU found: CPU."
    assert estimates.device_reason("cuda", None) == "NVIDIA GPU (CUDA), as you chose."
    assert estimates.device_reason("auto", None).startswith("A GPU is used")


def test_the_time_is_the_measured_one_until_there_is_one_of_this_computer() -> None:
    known = model("known", measured=(measured(0.9),))
    assert estimates.time_text(known) == "About 0.08 s (measured on x86_64, 2 cores, cpu)."
    assert estimates.time_text(known, 3.0) == "About 3 s, as the last time here."
    assert estimates.time_text(model("new", measured=())) == ""


def test_progress_says_what_how_long_and_what_waits() -> None:
    text = estimates.progress_text("network 2 of 6", 12.0, 3)
    assert text == "Network 2 of 6 · about 12 s left · 3 more in the queue"
    assert estimates.progress_text("waiting", None) == "Waiting"


def test_every_engine_that_can_be_chosen_has_a_title() -> None:
    assert all(estimates.engine_title(name)[0].isupper() for name in estimates.engines())


def test_the_student_for_what_is_loaded_is_proposed() -> None:
    four = model("four", kind="student", title="Four", channels=channels("T1", "FLAIR", "T2"))
    one = model("one", title="T1 alone", channels=channels("T1"))
    two = model("two", title="Two", channels=channels("T1", "FLAIR"))
    models = [four, one, two]
    assert choices.proposal(four, [True, False, True], models) is one
    assert choices.proposal(four, [True, True, False], models) is two
    assert choices.proposal(four, [True, True, True], models) is None
    assert choices.proposal(four, [False, False, False], models) is None
    text = choices.proposal_text(four, [True, False, True], one)
    assert text == "No FLAIR is chosen. T1 alone was trained on T1 alone."


def test_the_ensemble_is_what_a_student_is_compared_with_first() -> None:
    assert choices.second_model(STUDENT, [ENSEMBLE, STUDENT, WHOLE]) is ENSEMBLE
    assert choices.second_model(WHOLE, [WHOLE, STUDENT]) is STUDENT  # the same channels
    assert choices.second_model(WHOLE, [WHOLE]) is None


def test_a_student_is_chosen_at_first() -> None:
    assert choices.first_model([ENSEMBLE, STUDENT]) is STUDENT
    assert choices.first_model([]) is None


def test_volumes_are_guessed_only_where_there_is_one_way() -> None:
    two = model("two", channels=channels("T1", "FLAIR"))
    loaded = [("a", "Case_T1"), ("b", "Case_FLAIR"), ("c", "T1 again")]
    assert choices.guessed_volumes(STUDENT, (), [("a", "Head")]) == ("a",)
    assert choices.guessed_volumes(STUDENT, (), [("a", "Head"), ("b", "Other")]) == (None,)
    assert choices.guessed_volumes(two, (), loaded[:2]) == ("a", "b")
    assert choices.guessed_volumes(two, (), loaded) == (None, "b")
    assert choices.guessed_volumes(two, ("c", None), loaded) == ("c", "b")


def test_volumes_stay_with_channels_of_the_same_name() -> None:
    two = model("two", channels=channels("FLAIR", "T1"))
    assert choices.carried_volumes(STUDENT, ("a",), two) == (None, "a")
    assert choices.carried_volumes(None, (), two) == (None, None)


ROWS: list[dict[str, float | int | str]] = [
    {
        "structure": "Anterior hippocampus",
        "dice": 0.91234,
        "hd95 (mm)": 1.4142,
        "HippocampusMR-student (mL)": 1.5,
        "HippocampusMR-ensemble (mL)": 1.6,
        "difference (mL)": -0.1,
    },
    {
        "structure": "Posterior hippocampus",
        "dice": float("nan"),
        "hd95 (mm)": float("nan"),
        "HippocampusMR-student (mL)": 0.0,
        "HippocampusMR-ensemble (mL)": 0.0,
        "difference (mL)": 0.0,
    },
]


def test_the_table_of_agreement_is_short_and_says_what_is_not_a_number() -> None:
    titles = [title for title, _tip in comparing.columns(ROWS)]
    assert titles == ["Structure", "Dice", "HD95", "1st mL", "2nd mL", "Δ mL"]
    assert "HippocampusMR-student" in comparing.columns(ROWS)[3][1]
    first, second = comparing.cells(ROWS)
    assert first == ["Anterior hippocampus", "0.912", "1.41", "1.50", "1.60", "-0.10"]
    assert second[1:3] == ["–", "–"]


def test_the_verdict_names_the_structure_that_agrees_least() -> None:
    assert comparing.verdict(ROWS) == "They agree least on Anterior hippocampus: Dice 0.912."
    assert comparing.verdict(ROWS[1:]) == "Neither found a structure."
    assert comparing.verdict([{"structure": "a", "dice": 1.0}]).startswith("The two agree")


def test_the_file_of_a_comparison_has_all_digits() -> None:
    text = comparing.csv_text([ROWS[:1], [{"model": "m", "seconds": 0.123456}]])
    assert "0.91234" in text
    assert "0.123456" in text


def test_costs_are_said_in_a_line_a_model() -> None:
    runs: list[dict[str, float | int | str]] = [
        {"model": "S", "seconds": 0.1, "peak memory (GiB)": 0.43, "device": "cpu"},
        {"model": "E", "seconds": 1.2, "peak memory (GiB)": float("nan"), "device": "cpu"},
    ]
    assert comparing.runs_text(runs) == "1: S, 0.1 s, 0.43 GiB, cpu\n2: E, 1.2 s, cpu"


def test_file_names_are_fit_for_every_system() -> None:
    assert saving.proposed_name('Head: "T1"/2', ".nii.gz") == "Head-T1-2.nii.gz"
    assert saving.with_ending("a.nii", ".nii.gz") == "a.nii.nii.gz"
    assert saving.with_ending("A.NII.GZ", ".nii.gz") == "A.NII.GZ"


def test_the_check_says_in_words_what_is_missing_and_what_for() -> None:
    torch, highdicom = setup.NEEDS[0], setup.NEEDS[6]
    text = setup.check_text([torch, highdicom])
    assert "torch: runs the networks" in text
    assert "highdicom (saves as DICOM SEG)" in text
    assert setup.check_text([]) == "Everything that segmenting needs is installed."


def test_torch_is_never_left_to_pip() -> None:
    assert not [r for r in setup.by_pip(setup.NEEDS) if r.startswith("torch")]
    assert "torch" in setup.offline_text()


def test_set_up_asks_for_what_the_project_needs(project_root: Path) -> None:
    project = (project_root / "pyproject.toml").read_text(encoding="utf-8")
    for need in setup.NEEDS:
        assert f'"{need.requirement}"' in project, need.requirement
        assert setup.purpose(need)


def test_the_likely_device_has_a_reason_and_a_title() -> None:
    device, reason = setup.likely_device()
    assert estimates.device_title(device)
    assert reason


def test_a_card_without_measurements_says_so() -> None:
    assert "nothing was measured yet" in cards.card(model("new", measured=()))


def test_only_figures_of_the_same_data_stand_beside_each_other() -> None:
    measured = tuple(replace(m, data="others") for m in ENSEMBLE.description.measured)
    other = replace(ENSEMBLE, description=replace(ENSEMBLE.description, measured=measured))
    assert "0.872" not in cards.card(STUDENT, other)


def test_where_it_ran_replaces_the_guess_and_is_said_once() -> None:
    said = "Running on cpu with OpenVINO: no GPU found; measured as the fastest."
    assert estimates.where_it_ran([said, "Check the spacing."]) == said
    assert estimates.worth_saying([said, "Check the spacing."]) == ["Check the spacing."]
    assert estimates.where_it_ran([]) == ""
