"""Whether a button can be pressed, and the reason in words where it cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from KDSegmentationLogic.scene.view import messages, regions
from KDSegmentationLogic.scene.view.readiness import (
    Roi,
    Situation,
    Volume,
    why_not_compare,
    why_not_pick,
    why_not_segment,
)
from Testing.scene.view.models import ENSEMBLE, STUDENT, WHOLE, channels, model

HEAD = Volume("Head", True, (197.0, 233.0, 189.0), "v1")
READY = Situation(WHOLE, 2, [HEAD], clicked=True)


def test_everything_chosen_is_ready() -> None:
    assert why_not_segment(READY) is None


def test_what_is_not_installed_comes_before_all_else() -> None:
    now = replace(READY, missing=["torch", "psutil"], model=None, installed=0)
    assert why_not_segment(now) == messages.packages_missing("torch and psutil")


def test_without_any_model_one_is_to_be_imported() -> None:
    assert why_not_segment(Situation(None, 0, [])) == messages.no_model_installed()


def test_a_model_that_was_removed_is_named() -> None:
    now = Situation(None, 2, [], chosen="Gone")
    assert why_not_segment(now) == messages.model_gone("Gone")


def test_an_empty_channel_is_named_with_its_modality() -> None:
    now = replace(READY, model=model("two", channels=channels("T1", "FLAIR")), volumes=[HEAD, None])
    assert why_not_segment(now) == messages.channel_empty("FLAIR (MR)")


def test_a_volume_without_voxels_is_refused() -> None:
    now = replace(READY, volumes=[Volume("Hull", False)])
    assert why_not_segment(now) == messages.volume_empty("Hull")


def test_one_volume_for_two_channels_is_refused() -> None:
    two = model("two", channels=channels("T1", "FLAIR"))
    now = replace(READY, model=two, volumes=[HEAD, HEAD])
    assert why_not_segment(now) == messages.volume_twice("Head", "T1", "FLAIR")


def test_two_volumes_may_have_one_name() -> None:
    two = model("two", channels=channels("T1", "FLAIR"))
    now = replace(READY, model=two, volumes=[HEAD, replace(HEAD, key="v2")])
    assert why_not_pick(now) is None


def test_a_licence_has_to_be_accepted_first() -> None:
    now = replace(READY, licence_accepted=False)
    expected = messages.licence_open(WHOLE.description.title, WHOLE.description.licence)
    assert why_not_segment(now) == expected


def test_a_model_of_crops_is_not_run_on_a_whole_head() -> None:
    now = replace(READY, model=STUDENT)
    title = STUDENT.description.title
    assert why_not_segment(now) == messages.needs_place(title, "40 × 56 × 40 mm")


def test_a_model_of_crops_is_run_on_an_image_that_is_a_crop() -> None:
    crop = Volume("Crop", True, (35.0, 51.0, 35.0))
    assert why_not_segment(replace(READY, model=STUDENT, volumes=[crop])) is None


def test_a_region_has_to_be_chosen_and_placed() -> None:
    now = replace(READY, region="roi")
    assert why_not_segment(now) == messages.roi_missing()
    assert why_not_segment(replace(now, roi=Roi("Box", False))) == messages.roi_flat("Box")
    assert why_not_segment(replace(now, roi=Roi("Box"))) is None


def test_in_the_mode_of_clicks_the_button_says_how() -> None:
    now = replace(READY, model=STUDENT, region="point")
    assert why_not_pick(now) is None
    assert why_not_segment(now) == messages.clicking()


def test_student_and_ensemble_can_be_compared_where_a_structure_was_clicked() -> None:
    now = replace(READY, model=STUDENT, region="point")
    assert why_not_compare(now, ENSEMBLE) is None
    assert why_not_compare(replace(now, clicked=False), ENSEMBLE) == messages.click_missing()


def test_nothing_is_compared_while_something_runs() -> None:
    now = replace(READY, running="Head: whole")
    assert why_not_compare(now, ENSEMBLE) == messages.busy("Head: whole")


def test_a_model_is_not_compared_with_itself_or_with_nothing() -> None:
    assert why_not_compare(READY, None) == messages.second_missing()
    assert why_not_compare(READY, WHOLE) == messages.second_is_first(WHOLE.description.title)


def test_models_of_other_channels_or_structures_are_not_compared() -> None:
    flair = model("flair", title="FLAIR", channels=channels("FLAIR"))
    assert why_not_compare(READY, flair) == messages.other_channels("FLAIR", "FLAIR")
    label = replace(STUDENT.description.labels[0], name="Liver")
    liver = model("liver", title="Liver", labels=(label,))
    expected = messages.other_structures(WHOLE.description.title, "Liver")
    assert why_not_compare(READY, liver) == expected


def test_a_reference_needs_structures_and_one_of_the_same_name() -> None:
    assert why_not_compare(READY, None, (), "Mine") == messages.structures_missing("Mine")
    expected = messages.other_structures(WHOLE.description.title, "Mine")
    assert why_not_compare(READY, None, ("Liver",), "Mine") == expected
    assert why_not_compare(READY, None, ("posterior hippocampus",), "Mine") is None


@pytest.mark.parametrize(("platform", "key"), [("darwin", "Cmd"), ("win32", "Ctrl")])
def test_the_hint_names_the_key_of_this_platform(
    platform: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    assert f" {key}-click" in regions.hint("point", STUDENT, HEAD, placing=True)
    assert f"with {key} on" in messages.background_clicked().remedy


def test_the_whole_volume_is_not_offered_to_a_model_of_crops_and_it_says_why() -> None:
    assert regions.why_not_whole(WHOLE, HEAD) is None
    assert regions.why_not_whole(STUDENT, HEAD) is not None
    assert regions.fitting("whole", STUDENT, HEAD) == "point"
    assert regions.fitting("whole", WHOLE, HEAD) == "whole"
    assert "40 × 56 × 40 mm" in regions.hint("point", STUDENT, HEAD, placing=False)
