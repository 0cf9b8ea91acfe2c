"""MR images made from label maps: aligned, reproducible, heads kept apart, refusals."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from KDSegmentationLogic.errors import Cancelled, DatasetError
from KDSegmentationLogic.imaging.geometry import same_grid
from KDSegmentationLogic.progress import CancelToken, Monitor
from KDSegmentationLogic.training.dataset import read_dataset
from KDSegmentationLogic.training.synthesis import dataset as synthesis
from KDSegmentationLogic.training.synthesis.anatomy import (
    STRUCTURES,
    TISSUES,
    read_tissues,
    structure_of_tissue,
    tissue,
)
from KDSegmentationLogic.training.synthesis.case import Case, Recipe, synthesise
from KDSegmentationLogic.training.synthesis.contrasts import CONTRASTS, RANGES, draw_contrast
from KDSegmentationLogic.training.synthesis.dataset import make_plan, synthesise_dataset
from KDSegmentationLogic.training.synthesis.fields import average_matrix, box_matrix
from KDSegmentationLogic.training.synthesis.lesions import add_lesions

WHITE, GREY, FLUID, LESION = 1, 2, 6, 7


def made_head(size: int = 60, shift: int = 0, ventricle: int = 5) -> sitk.Image:
    """A ball of shells: ventricle, white matter, cortex, CSF, bone, skin; 2 mm, oblique."""
    axes = np.meshgrid(*[np.arange(size) - size / 2 + 0.5] * 3, indexing="ij")
    radius = np.sqrt(sum((a - s) ** 2 for a, s in zip(axes, (0, 0, shift), strict=True)))
    codes = np.zeros((size,) * 3, np.uint16)
    shells = ((28, 511), (26, 507), (24, 515), (22, 24), (20, 3), (17, 2), (ventricle, 4))
    for limit, code in shells:
        codes[radius < limit] = code
    image = sitk.GetImageFromArray(codes)
    image.SetSpacing((2.0, 2.0, 2.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.1, 0.05, -0.1)
    image.SetDirection(turn.GetMatrix())
    return image


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four heads."""
    folder = tmp_path_factory.mktemp("maps")
    for number in range(4):
        sitk.WriteImage(made_head(shift=number), str(folder / f"head_{number}.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def case(maps: Path) -> Case:
    """Four contrasts with lesions."""
    return synthesise(maps / "head_0.nii.gz", Recipe(spacing=3.0, lesions=True), 0)


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_images_and_labels_of_a_case_lie_on_one_grid(case: Case) -> None:
    assert all(same_grid(image, case.labels) for image in case.images)
    assert case.labels.GetSpacing() == (3.0, 3.0, 3.0)


def test_the_grid_keeps_the_centre_of_the_label_map(case: Case) -> None:
    centres = [
        image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
        for image in (case.labels, sitk.DICOMOrient(made_head(), "LPS"))
    ]
    np.testing.assert_allclose(*centres, atol=1e-6)


def test_each_structure_is_as_bright_as_its_contrast_says_where_its_label_is(case: Case) -> None:
    labels = voxels(case.labels)
    for name, darker, brighter in (
        ("T1", FLUID, WHITE),
        ("T2", WHITE, FLUID),
        ("FLAIR", FLUID, WHITE),
        ("T1CE", FLUID, WHITE),
    ):
        image = voxels(case.images[list(RANGES).index(name)])
        assert image[labels == darker].mean() < 0.8 * image[labels == brighter].mean(), name


def test_a_shift_of_one_voxel_fits_worse_than_none(case: Case) -> None:
    """Share of the variance that the labels explain; any shift must lower it."""
    labels, image = voxels(case.labels), voxels(case.images[1]).astype(float)

    def explained(shift: tuple[int, int, int]) -> float:
        moved = np.roll(image, shift, (0, 1, 2))
        within = sum(moved[labels == v].var() * (labels == v).sum() for v in np.unique(labels))
        return 1 - within / (moved.var() * moved.size)

    shifts = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    assert explained((0, 0, 0)) > max(map(explained, shifts))


def test_lesions_stand_out_in_flair_and_hardly_in_t1(case: Case) -> None:
    labels = voxels(case.labels)
    images = dict(zip(RANGES, map(voxels, case.images), strict=True))

    def contrast(name: str) -> float:
        lesion, white = (images[name][labels == v].mean() for v in (LESION, WHITE))
        return float(lesion / white)

    assert contrast("FLAIR") > 1.3
    assert contrast("T2") > 1.3
    assert 0.6 < contrast("T1") < 1.0


def test_lesions_grow_in_white_matter_only() -> None:
    tissues = read_head()
    found = add_lesions(tissues, (2.0, 2.0, 2.0), np.random.default_rng(3))
    changed = found != tissues
    assert changed.any()
    assert set(np.unique(tissues[changed])) == {tissue("white")}
    assert set(np.unique(found[changed])) <= {tissue("lesion"), tissue("enhancing")}


def read_head() -> np.ndarray:
    codes = sitk.GetArrayFromImage(made_head())
    result = np.zeros(codes.shape, np.uint8)
    for code, name in ((2, "white"), (3, "cortex"), (4, "csf"), (24, "csf"), (515, "bone")):
        result[codes == code] = tissue(name)
    return result


def test_only_contrast_agent_tells_the_enhancing_part_from_the_rest() -> None:
    for name, ranges in RANGES.items():
        same = ranges["lesion"] == ranges["enhancing"]
        assert same == (name != "T1CE")


@pytest.mark.parametrize("name", CONTRASTS)
def test_every_contrast_gives_each_tissue_a_finite_intensity(name: str) -> None:
    drawn = draw_contrast(name, np.random.default_rng(1))
    assert drawn.means.shape == drawn.deviations.shape == (len(TISSUES),)
    assert np.isfinite(drawn.means).all()
    assert (drawn.deviations >= 0).all()


def test_without_skull_nothing_is_left_outside_the_brain(maps: Path) -> None:
    case = synthesise(maps / "head_1.nii.gz", Recipe(("T1",), 3.0, skull="without"), 0)
    image, labels = voxels(case.images[0]), voxels(case.labels)
    assert (labels[image == 0] == 0).mean() > 0.999
    assert (image == 0).mean() > 0.5
    assert set(np.unique(labels)) >= {0, WHITE, GREY, FLUID}


def test_without_skull_a_wide_ventricle_stays_whole(tmp_path: Path) -> None:
    sitk.WriteImage(made_head(ventricle=14), str(tmp_path / "head.nii.gz"))
    with_skull, without = (
        synthesise(tmp_path / "head.nii.gz", Recipe(("T2",), 2.0, skull=skull), 0)
        for skull in ("with", "without")
    )
    labels = voxels(with_skull.labels)
    middle = np.argwhere(labels == WHITE).mean(axis=0)
    reach = np.linalg.norm(np.argwhere(labels == WHITE) - middle, axis=1).max()
    distance = np.linalg.norm(np.indices(labels.shape).T - middle, axis=-1).T
    ventricle = (labels == FLUID) & (distance < reach)

    assert ventricle.sum() * 2.0**3 > 50_000, "wide it is"
    assert (voxels(without.labels)[ventricle] == FLUID).all()
    assert (voxels(without.images[0])[ventricle] > 0).mean() > 0.99


def test_every_other_case_is_without_skull_where_both_are_wanted(maps: Path) -> None:
    recipe = Recipe(("T1",), 3.0, skull="both")
    zero = [
        (voxels(synthesise(maps / "head_1.nii.gz", recipe, n).images[0]) == 0).mean()
        for n in (0, 1)
    ]
    assert zero[0] < 0.2
    assert zero[1] > 0.5


@pytest.mark.parametrize("heads", range(1, 7))
def test_every_head_is_shown_both_ways_in_two_rounds(heads: int) -> None:
    recipe = Recipe(skull="both")
    shown = [
        [recipe.shows_skull(n, heads) for n in range(h, 2 * heads, heads)] for h in range(heads)
    ]
    assert all(set(ways) == {True, False} for ways in shown)
    assert heads == 1 or {ways[0] for ways in shown} == {True, False}


def test_an_even_number_of_heads_gives_a_data_set_of_each_head_both_ways(
    maps: Path, tmp_path: Path
) -> None:
    recipe = Recipe(("T1",), 4.0, skull="both")
    plan = synthesise_dataset(maps, tmp_path, recipe, 8, 1, Monitor())
    found: dict[Path, set[bool]] = {}
    for number in range(8):
        image = sitk.ReadImage(str(plan.files(number)[0][0]))
        stripped = bool((voxels(image) == 0).mean() > 0.5)
        found.setdefault(plan.source(number), set()).add(stripped)
    assert list(found.values()) == [{True, False}] * 4


def test_a_case_does_not_depend_on_threads_or_on_what_was_drawn_before(maps: Path) -> None:
    recipe = Recipe(("any",), 4.0, seed=5)
    first = synthesise(maps / "head_2.nii.gz", recipe, 7)
    torch.rand(3)
    torch.set_num_threads(2)
    again = synthesise(maps / "head_2.nii.gz", recipe, 7)
    torch.set_num_threads(1)
    assert (voxels(first.images[0]) == voxels(again.images[0])).all()
    assert (voxels(first.labels) == voxels(again.labels)).all()


def test_another_number_and_another_seed_make_another_case(maps: Path) -> None:
    kinds = (
        (Recipe(("T1",), 4.0), 0),
        (Recipe(("T1",), 4.0), 1),
        (Recipe(("T1",), 4.0, seed=1), 0),
    )
    labels = [voxels(synthesise(maps / "head_2.nii.gz", *kind).labels).tobytes() for kind in kinds]
    assert len(set(labels)) == 3


def test_the_same_seed_makes_the_same_files_also_after_a_stop(maps: Path, tmp_path: Path) -> None:
    recipe = Recipe(("T1", "FLAIR"), 4.0, lesions=True, seed=3)
    synthesise_dataset(maps, tmp_path / "one", recipe, 5, 1, Monitor())
    synthesise_dataset(maps, tmp_path / "two", recipe, 2, 1, Monitor())
    next((tmp_path / "two").glob("labels*/case_0001*")).unlink()
    synthesise_dataset(maps, tmp_path / "two", recipe, 5, 1, Monitor())
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_finished_case_is_not_made_again(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(("T1",), 4.0)
    synthesise_dataset(maps, tmp_path / "set", recipe, 3, 1, Monitor())
    made = []
    original = synthesis.make_case
    monkeypatch.setattr(synthesis, "make_case", lambda *a: made.append(a[2]) or original(*a))
    synthesise_dataset(maps, tmp_path / "set", recipe, 4, 1, Monitor())
    assert made == [3]


def test_the_data_set_is_read_with_its_lists_and_no_head_is_in_two(
    maps: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "Dataset900_Made"
    synthesise_dataset(maps, folder, Recipe(("T1", "T2"), 4.0, lesions=True), 6, 1, Monitor())
    dataset = read_dataset(folder)
    assert dataset.channels == ("T1", "T2")
    assert list(dataset.labels.values()) == [*STRUCTURES, "Lesion"]
    assert sum(map(len, dataset.splits.values())) == 6
    lists = [set(dataset.groups_of(name).values()) for name in ("train", "val", "test")]
    assert all(lists)
    assert not (lists[0] & lists[1] | lists[0] & lists[2] | lists[1] & lists[2])


def test_two_processes_make_the_same_cases_as_one(maps: Path, tmp_path: Path) -> None:
    recipe = Recipe(("T1",), 4.0, seed=8)
    synthesise_dataset(maps, tmp_path / "one", recipe, 2, 1, Monitor())
    synthesise_dataset(maps, tmp_path / "two", recipe, 2, 2, Monitor())
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_cancelled_run_leaves_whole_cases_only(maps: Path, tmp_path: Path) -> None:
    token = CancelToken()
    monitor = Monitor(lambda *_: token.cancel(), cancel=token)
    with pytest.raises(Cancelled):
        synthesise_dataset(maps, tmp_path / "set", Recipe(("T1",), 4.0), 4, 1, monitor)
    files = sorted((tmp_path / "set").rglob("case_*"))
    assert len(files) == 2
    for file in files:
        sitk.ReadImage(str(file))


def test_a_disk_that_is_too_small_is_said_before_anything_is_made(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(tmp_path))(2**30, 2**30 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DatasetError, match=r"1000 cases take up to .* GiB left"):
        synthesise_dataset(maps, tmp_path / "set", Recipe(), 1000, 1, Monitor())
    assert not (tmp_path / "set").exists()


def test_more_processes_than_memory_are_refused(maps: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="GiB of memory"):
        synthesise_dataset(maps, tmp_path / "set", Recipe(("T1",)), 2000, 2000, Monitor())


_PEAK = """
import sys
from pathlib import Path
from KDSegmentationLogic.inference.peak import PeakMemory
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.synthesis.case import Recipe
from KDSegmentationLogic.training.synthesis.dataset import synthesise_dataset

maps, folder = map(Path, sys.argv[1:])
with PeakMemory() as peak:
    synthesise_dataset(maps, folder, Recipe(("T1",), 0.5), 1, 1, Monitor(notice=print))
print(peak.gib)
"""


def test_the_memory_announced_at_a_fine_spacing_is_that_which_it_takes(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    for number in range(3):
        sitk.WriteImage(made_head(40), str(tmp_path / "maps" / f"{number}.nii.gz"))
    call = [sys.executable, "-c", _PEAK, str(tmp_path / "maps"), str(tmp_path / "set")]
    notice, peak = subprocess.run(call, capture_output=True, text=True, check=True).stdout.split(
        "\n", 1
    )
    announced = re.search(r"about (.+) GiB of memory", notice)
    assert announced
    assert float(peak) <= float(announced[1]) <= 3 * float(peak)


def test_a_folder_made_with_another_seed_is_refused(maps: Path, tmp_path: Path) -> None:
    synthesise_dataset(maps, tmp_path, Recipe(("T1",), 4.0), 1, 1, Monitor())
    with pytest.raises(DatasetError, match="recipe"):
        synthesise_dataset(maps, tmp_path, Recipe(("T1",), 4.0, seed=1), 1, 1, Monitor())


def test_a_folder_with_other_things_in_it_is_refused(maps: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not empty"):
        synthesise_dataset(maps, tmp_path, Recipe(("T1",)), 1, 1, Monitor())


def test_a_folder_without_label_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no label map"):
        make_plan(tmp_path, tmp_path / "set", Recipe(), 3)


def test_an_unknown_code_is_named(tmp_path: Path) -> None:
    image = made_head(20)
    image[3, 3, 3] = 4711
    sitk.WriteImage(image, str(tmp_path / "map.nii.gz"))
    with pytest.raises(DatasetError, match="4711"):
        read_tissues(tmp_path / "map.nii.gz")


@pytest.mark.parametrize(("code", "said"), [(4711, "4711"), (0, "nothing outside the brain")])
def test_a_map_of_no_use_is_refused_before_the_first_case(
    code: int, said: str, tmp_path: Path
) -> None:
    """Here the map that the last case takes."""
    (tmp_path / "maps").mkdir()
    for number in range(4):
        sitk.WriteImage(made_head(), str(tmp_path / "maps" / f"{number}.nii.gz"))
    plan = make_plan(tmp_path / "maps", tmp_path / "set", Recipe(("T1",), 4.0), 4)
    bad = voxels(made_head())
    bad[bad >= 507] = code
    sitk.WriteImage(sitk.GetImageFromArray(bad), str(plan.source(3)))
    with pytest.raises(DatasetError, match=f"{plan.source(3).name} has .*{said}"):
        synthesise_dataset(tmp_path / "maps", plan.folder, plan.recipe, 4, 1, Monitor())
    assert not plan.folder.exists()


def test_a_map_that_no_case_takes_is_not_read(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(synthesis, "read_map", lambda source, _: read.append(source))
    plan = synthesise_dataset(maps, tmp_path, Recipe(("T1",), 4.0), 2, 1, Monitor())
    assert read == sorted(plan.cycle[:2])


def test_every_tissue_inside_the_skull_belongs_to_one_structure() -> None:
    named = [name for group in STRUCTURES.values() for name in group]
    assert len(named) == len(set(named))
    assert (structure_of_tissue() > 0).sum() == len(named) + 2


@pytest.mark.parametrize("thickness", [2.0, 2.4, 5.0])
def test_what_a_voxel_sees_sums_to_one_and_stays_in_its_place(thickness: float) -> None:
    matrix = average_matrix(101, 1.0, 51, 2.0, thickness).numpy()
    np.testing.assert_allclose(matrix.sum(1), 1.0, atol=1e-5)
    position = (np.arange(101) - 50) * 1.0
    centres = (np.arange(51) - 25) * 2.0
    # a ramp keeps its values but at the ends; samples are cut at the edges of slices
    np.testing.assert_allclose((matrix @ position)[4:-4], centres[4:-4], atol=0.05)


@pytest.mark.parametrize("count", [1, 6, 7, 101])
@pytest.mark.parametrize("spacing", [0.5, 0.7, 1.0, 4.0])
def test_no_voxel_sees_nothing(count: int, spacing: float) -> None:
    voxels = max(1, round(count / spacing))
    for thickness in (spacing, 1.2 * spacing, 5.0):
        matrix = average_matrix(count, 1.0, voxels, spacing, thickness).numpy()
        np.testing.assert_allclose(matrix.sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(box_matrix(count, 1.0, voxels, spacing).sum(1), 1.0, atol=1e-5)


def test_a_voxel_is_the_average_of_what_lies_in_it() -> None:
    matrix = box_matrix(6, 1.0, 3, 2.0).numpy()
    np.testing.assert_allclose(matrix, np.kron(np.eye(3), [[0.5, 0.5]]))


def test_the_record_names_recipe_and_label_maps(maps: Path, tmp_path: Path) -> None:
    synthesise_dataset(maps, tmp_path, Recipe(("T1",), 4.0), 1, 1, Monitor())
    record = json.loads((tmp_path / synthesis.RECORD).read_text())
    assert record["recipe"]["spacing"] == 4.0
    assert list(record["sources"]) == [f"head_{n}.nii.gz" for n in range(4)]


def test_going_on_with_other_versions_of_libraries_is_told_and_recorded(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monitor, recipe = Monitor(notice=told.append), Recipe(("T1",), 4.0)
    synthesise_dataset(maps, tmp_path, recipe, 1, 1, monitor)
    synthesise_dataset(maps, tmp_path, recipe, 2, 1, monitor)
    assert not any("made with" in text for text in told)
    monkeypatch.setattr(torch, "__version__", "99.1")
    synthesise_dataset(maps, tmp_path, recipe, 3, 1, monitor)
    assert re.search(r"made with torch \S+ \(now 99.1\)", told[-1])
    libraries = json.loads((tmp_path / synthesis.RECORD).read_text())["libraries"]
    assert [used["torch"] == "99.1" for used in libraries] == [False, True]
    assert set(libraries[0]) == {"numpy", "scipy", "SimpleITK", "torch", "torchio"}


@pytest.mark.parametrize("content", ["[", "[]", '{"libraries": 1}', '{"libraries": [1]}'])
def test_a_damaged_record_is_refused(maps: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / synthesis.RECORD).write_text(content)
    with pytest.raises(DatasetError, match="damaged"):
        synthesise_dataset(maps, tmp_path, Recipe(("T1",), 4.0), 1, 1, Monitor())
