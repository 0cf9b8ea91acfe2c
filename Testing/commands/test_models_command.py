"""``kdseg models``: listing, showing, verifying, importing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from KDSegmentationLogic.bundles.bundle import load_bundle
from KDSegmentationLogic.bundles.transfer import export_zip
from Testing.making import tiny_student


@pytest.fixture
def damaged(student_bundle, tmp_path):
    folder = shutil.copytree(student_bundle.folder, tmp_path / "damaged")
    weights = folder / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    return folder


def test_an_imported_model_is_listed_and_found_by_name(kdseg, student_bundle, tmp_path) -> None:
    archive = export_zip(student_bundle, tmp_path / "any.zip")
    imported = kdseg("models", "import", archive)
    assert imported.status == 0
    assert "Apache-2.0" in imported.out
    assert "tiny-student" in kdseg("models").out
    assert kdseg("models", "verify", "tiny-student").status == 0


def test_a_model_that_cannot_be_used_is_listed_as_a_problem(kdseg, student_bundle) -> None:
    installed = Path(os.environ["KDSEG_MODELS"]) / "broken"
    shutil.copytree(student_bundle.folder, installed)
    (installed / "configs" / "metadata.json").write_text("{")
    listed = kdseg("models", "--json")
    assert listed.status == 0
    assert "broken" in json.loads(listed.out)["problems"][0]
    assert "broken" in listed.err


def test_a_model_is_not_replaced_unasked(kdseg, student_bundle) -> None:
    assert kdseg("models", "import", student_bundle.folder).status == 0
    again = kdseg("models", "import", student_bundle.folder)
    assert again.status == 1
    assert again.err.count("\n") == 1
    assert kdseg("models", "import", student_bundle.folder, "--replace").status == 0


def test_the_card_says_what_a_user_needs(kdseg, crop_bundle) -> None:
    card = kdseg("models", "show", crop_bundle.folder).out
    for words in ("Tiny phantom", "CT (CT)", "24 x 24 x 24 mm", "Apache-2.0", "the test phantom"):
        assert words in card
    assert "whole (SHA-256 checked)" in card
    assert "5366008" in card


def test_the_card_of_an_ensemble_counts_its_networks(kdseg, ensemble_bundle) -> None:
    assert "ensemble of 3 networks" in kdseg("models", "show", ensemble_bundle.folder).out


def test_a_measured_model_shows_its_figures(kdseg, tmp_path) -> None:
    from KDSegmentationLogic.bundles.description import Measurement

    measured = Measurement("24 test cases", 24, {"anterior": 0.8712}, {"anterior": 1.234}, 0.5, 1.2)
    tiny_student(tmp_path / "measured", measured=(measured,), relative="Big-ensemble")
    card = kdseg("models", "show", tmp_path / "measured").out
    for words in ("Dice 0.871", "HD95 1.23 mm", "0.50 s a case", "1.20 GiB", "Big-ensemble"):
        assert words in card


def test_the_card_of_a_damaged_model_tells_the_damage(kdseg, damaged) -> None:
    said = kdseg("models", "show", damaged)
    assert said.status == 0
    assert "another SHA-256" in " ".join(said.out.split())


def test_verifying_a_damaged_model_fails(kdseg, damaged) -> None:
    said = kdseg("models", "verify", damaged)
    assert said.status == 1
    assert "model.safetensors" in said.err
    assert not said.out


def test_a_damaged_model_is_not_imported(kdseg, damaged) -> None:
    assert kdseg("models", "import", damaged).status == 1
    assert "damaged" not in kdseg("models").out


def test_the_description_in_json_is_the_bundles_own(kdseg, student_bundle) -> None:
    shown = json.loads(kdseg("models", "show", student_bundle.folder, "--json").out)
    assert shown["problem"] is None
    described = load_bundle(student_bundle.folder).description
    assert shown["description"]["title"] == described.title
    assert [label["name"] for label in shown["description"]["labels"]] == ["anterior", "posterior"]
