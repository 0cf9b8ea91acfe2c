"""``kdseg data synthesize``: what it says and refuses. What it makes is tested with training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Three small heads of white matter, CSF and bone."""
    folder = tmp_path / "maps" / "labels"
    folder.mkdir(parents=True)
    for number in range(3):
        codes = np.full((20, 20, 20), 515, np.uint16)
        codes[3:-3, 3:-3, 3:-3] = 24
        codes[5:-5, 5:-5, 5:-5] = 2
        image = sitk.GetImageFromArray(codes)
        image.SetSpacing((4.0, 4.0, 4.0))
        sitk.WriteImage(image, str(folder / f"{number}.nii.gz"))
    return folder.parent


def test_it_says_how_many_cases_are_in_each_list(
    kdseg: Callable[..., Any], maps: Path, tmp_path: Path
) -> None:
    options = "--cases", 3, "--seed", 1, "--contrasts", "T1", "random", "--spacing", 4
    said = kdseg("--json", "data", "synthesize", maps, "-o", tmp_path / "set", *options)
    assert said.status == 0, said.err
    counts = json.loads(said.out)
    assert [counts[name] for name in ("cases", "train", "val", "test")] == [3, 1, 1, 1]
    assert len(list((tmp_path / "set").rglob("case_*"))) == 9


def test_an_unknown_contrast_is_wrong_usage(
    kdseg: Callable[..., Any], maps: Path, tmp_path: Path
) -> None:
    options = "--cases", 1, "--seed", 1, "--contrasts", "PET"
    said = kdseg("data", "synthesize", maps, "-o", tmp_path / "set", *options)
    assert said.status == 2
    assert "T1, T2, FLAIR, T1CE, random, any" in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_two_heads_are_too_few(kdseg: Callable[..., Any], maps: Path, tmp_path: Path) -> None:
    (maps / "labels" / "2.nii.gz").unlink()
    said = kdseg("data", "synthesize", maps, "-o", tmp_path / "set", "--cases", 1, "--seed", 1)
    assert said.status == 1
    assert "at least 3" in said.err
