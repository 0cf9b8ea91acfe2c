"""Preprocessed cases are stored once, checked, and made again where they do not match."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from KDSegmentationLogic.bundles.description import Channel, Grid, Normalisation
from KDSegmentationLogic.errors import DatasetError, ImageError
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.cases import TrainingCase, load_cases
from KDSegmentationLogic.training.dataset import CaseFiles, read_dataset
from Testing.training import made_layouts as made

ZSCORE = Normalisation("zscore")


@pytest.fixture(params=[made.nnunet, made.pictures], ids=["3-D", "2-D"])
def cases(request: pytest.FixtureRequest, tmp_path: Path) -> list[CaseFiles]:
    """The training cases of a set of two channels in 3-D, or of pictures."""
    return read_dataset(request.param(tmp_path / "Dataset001_Made"), complete=False).split("train")


def load(
    cases: list[CaseFiles], cache: Path | None, said: list[str] | None = None, spacing: float = 0
) -> list[TrainingCase]:
    flat = cases[0].images[0].suffix == ".png"
    grid = Grid(2) if flat else Grid(3, (spacing,) * 3 if spacing else None)
    channels = [Channel(str(n), "MR", ZSCORE) for n in range(len(cases[0].images))]
    monitor = Monitor(notice=None if said is None else said.append)
    return load_cases(cases, channels, grid, [1, 2], monitor, cache)


def stored(cache: Path, name: str = "*") -> list[Path]:
    return sorted(cache.glob(f"cases-*/*/{name}"))


def same(a: list[TrainingCase], b: list[TrainingCase]) -> bool:
    return all(
        x.name == y.name and np.array_equal(x.image, y.image) and np.array_equal(x.labels, y.labels)
        for x, y in zip(a, b, strict=True)
    )


def test_a_stored_case_is_the_one_that_was_made(cases: list[CaseFiles], tmp_path: Path) -> None:
    plain = load(cases, None)

    first, second = load(cases, tmp_path / "run"), load(cases, tmp_path / "run")

    assert same(plain, first)
    assert same(plain, second)
    assert second[0].image.dtype == np.float32
    assert second[0].labels.dtype == np.uint8
    assert len(stored(tmp_path / "run", "image.npy")) == len(cases)


def test_a_stored_case_is_not_read_from_its_images_again(
    cases: list[CaseFiles], tmp_path: Path
) -> None:
    plain = load(cases, tmp_path / "run")
    before = cases[0].images[0].stat()
    cases[0].images[0].write_bytes(bytes(before.st_size))
    os.utime(cases[0].images[0], ns=(before.st_atime_ns, before.st_mtime_ns))

    assert same(plain, load(cases, tmp_path / "run"))


def test_writing_to_a_case_does_not_change_what_is_stored(
    cases: list[CaseFiles], tmp_path: Path
) -> None:
    plain = load(cases, None)
    load(cases, tmp_path / "run")
    for case in load(cases, tmp_path / "run"):
        case.image[:] = 7

    assert same(plain, load(cases, tmp_path / "run"))


def test_a_changed_file_makes_its_case_anew(cases: list[CaseFiles], tmp_path: Path) -> None:
    load(cases, tmp_path / "run")
    label = cases[1].labels
    assert label is not None
    shape = (20, 24) if label.suffix == ".png" else (4, 6, 8)
    made.write_image(label, made.labels((1, 1), shape))
    os.utime(label, ns=(1, 1))

    assert same(load(cases, tmp_path / "run"), load(cases, None))
    assert len(stored(tmp_path / "run", "image.npy")) == len(cases) + 1


def test_another_grid_has_a_store_of_its_own(tmp_path: Path) -> None:
    cases = read_dataset(made.nnunet(tmp_path / "Dataset001_Made")).split("train")
    load(cases, tmp_path / "run")

    fine = load(cases, tmp_path / "run", spacing=0.5)

    assert fine[0].labels.shape == (8, 12, 16)
    assert len(list((tmp_path / "run").glob("cases-*"))) == 2


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("name", ["image.npy", "labels.npy", "sums.json"])
@pytest.mark.parametrize("damage", [flip_byte, cut, empty, Path.unlink])
def test_a_damaged_case_is_made_again_with_a_notice(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    cases = read_dataset(made.pictures(tmp_path / "Dataset001_Made")).split("train")
    plain: list[TrainingCase] = load(cases, None)
    said: list[str] = []
    load(cases, tmp_path / "run")
    damage(stored(tmp_path / "run", name)[0])

    again = load(cases, tmp_path / "run", said)

    assert same(plain, again)
    assert said == [f"The stored case {cases[0].name} is damaged and is made again."]
    assert same(plain, load(cases, tmp_path / "run", said))
    assert len(said) == 1


def test_a_case_that_cannot_be_stored_is_used_with_a_notice(tmp_path: Path) -> None:
    cases = read_dataset(made.pictures(tmp_path / "Dataset001_Made")).split("train")
    said: list[str] = []
    (tmp_path / "run").write_text("a file where the folder should be")

    loaded = load(cases, tmp_path / "run", said)

    assert same(loaded, load(cases, None))
    assert len(said) == len(cases)
    assert "is not kept on disk" in said[0]


def test_nothing_half_written_is_left(cases: list[CaseFiles], tmp_path: Path) -> None:
    load(cases, tmp_path / "run")

    assert not list((tmp_path / "run").glob("cases-*/.writing-*"))


def test_a_missing_image_is_refused_by_name_with_a_store_too(
    cases: list[CaseFiles], tmp_path: Path
) -> None:
    cases[0].images[0].unlink()

    with pytest.raises(ImageError, match=rf"{cases[0].images[0].name} does not exist"):
        load(cases, tmp_path / "run")


def test_a_case_without_labels_is_background_where_none_are_needed(tmp_path: Path) -> None:
    case = read_dataset(made.nnunet(tmp_path / "Dataset001_Made")).split("unlabelled")
    channels = [Channel(name, "CT", ZSCORE) for name in ("CT", "PET")]

    (loaded,) = load_cases(case, channels, Grid(3), [1, 2], Monitor(), needs_labels=False)

    assert loaded.labels.shape == loaded.image.shape[1:]
    assert not loaded.labels.any()
    with pytest.raises(DatasetError, match="The case f has no labels"):
        load_cases(case, channels, Grid(3), [1, 2], Monitor(), tmp_path / "run")
