"""What a data set is like, and what a study makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from KDSegmentationLogic.bundles.description import Normalisation
from KDSegmentationLogic.errors import DatasetError, UsageError
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.training.dataset import find_dataset, read_dataset
from KDSegmentationLogic.training.fingerprint import (
    Fingerprint,
    Intensities,
    Structure,
    take_fingerprint,
)
from KDSegmentationLogic.training.plan import Plan, make_plan, modality_of, plan_grid
from KDSegmentationLogic.training.sizing import STEP_VOXELS, training_bytes
from Testing.training import made_layouts as made

INSIDE = Intensities(-100.0, 300.0, 60.0, 40.0, 0.0)


def fingerprint(
    sizes: list[tuple[int, ...]], spacings: list[tuple[float, ...]], **changes: Any
) -> Fingerprint:
    settings: dict[str, Any] = {
        "dataset": "Made",
        "dimensions": len(sizes[0]),
        "measured": len(sizes),
        "physical": True,
        "thin_axis": None,
        "sizes": tuple(sizes),
        "spacings": tuple(spacings),
        "intensities": {"MRI": INSIDE},
        "structures": {"organ": Structure(1, len(sizes), 5.0)},
    }
    return Fingerprint(**{**settings, **changes})


def test_a_fingerprint_measures_what_is_inside_structures(tmp_path: Path) -> None:
    folder = made.nnunet(tmp_path / "Dataset001_Made")
    for case in "abcd":
        marks = made.labels((1, 2))
        marks[:, 3, :2] = 2
        made.write_image(
            folder / "imagesTr" / f"{case}_0000.nii.gz", np.where(marks, 50 * marks, 0)
        )
        made.write_image(folder / "labelsTr" / f"{case}.nii.gz", marks)

    found = take_fingerprint(read_dataset(folder, complete=False))

    assert found.measured == 4
    assert found.median_size() == (8.0, 6.0, 4.0)
    assert found.median_spacing() == (1.0, 1.0, 1.0)
    ct = found.intensities["CT"]
    assert (ct.low, ct.high) == (50.0, 100.0)
    assert ct.zeros == pytest.approx(1 - (24 + 32) / 192)
    assert found.structures["organ"] == Structure(1, 4, pytest.approx(0.024))
    assert found.structures["lesion"].volume == pytest.approx(0.032)


def test_axes_are_counted_as_the_patient_lies(tmp_path: Path) -> None:
    folder = made.acdc(tmp_path / "ACDC")

    found = take_fingerprint(read_dataset(folder))

    assert found.median_spacing() == (1.5, 1.5, 10.0)


def test_only_some_cases_of_a_large_set_are_measured(tmp_path: Path) -> None:
    dataset = read_dataset(made.segthor(tmp_path / "SegTHOR"))

    found = take_fingerprint(dataset, most=3)

    assert found.measured == len(found.sizes) == 3


def swapped_label(folder: Path) -> None:
    made.write_image(folder / "labelsTr" / "b.nii.gz", made.labels((1, 2)), (2.0, 1.0, 1.0))


def unknown_label(folder: Path) -> None:
    made.write_image(folder / "labelsTr" / "b.nii.gz", made.labels((1, 7)))


def no_label(folder: Path) -> None:
    (folder / "labelsTr" / "b.nii.gz").unlink()


def no_lesion(folder: Path) -> None:
    for case in "abcd":
        made.write_image(folder / "labelsTr" / f"{case}.nii.gz", made.labels((1,)))


def flat_case(folder: Path) -> None:
    for channel in range(2):
        made.write_image(folder / "imagesTr" / f"b_{channel:04}.nii.gz", made.volume((6, 8)))
    made.write_image(folder / "labelsTr" / "b.nii.gz", made.labels((1, 2), (6, 8)))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (swapped_label, r"b\.nii\.gz lies on another grid than b_0000\.nii\.gz\. Resample"),
        (unknown_label, r"b\.nii\.gz holds the value 7, which is not a known label"),
        (no_label, "The case b has no labels"),
        (no_lesion, "The label lesion occurs in none of 4 training cases"),
        (flat_case, "mixes images of two and of three dimensions"),
    ],
)
def test_cases_that_cannot_be_trained_on_are_refused(
    tmp_path: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    folder = made.nnunet(tmp_path / "Dataset001_Made")
    damage(folder)

    with pytest.raises(DatasetError, match=sentence):
        take_fingerprint(read_dataset(folder, complete=False))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("CT", "CT"),
        ("MRI", "MR"),
        ("cine MR", "MR"),
        ("T1ce", "MR"),
        ("FLAIR", "MR"),
        ("ultrasound", "US"),
        ("PET", "PT"),
        ("noise", "OT"),
        ("fraction", "OT"),
    ],
)
def test_a_channels_name_tells_its_modality(name: str, code: str) -> None:
    assert modality_of(name) == code


def test_the_spacing_is_the_median_and_fine_across_coarse_slices() -> None:
    spacings = [(1.0, 1.0, z) for z in (5.0, 5.0, 5.0, 8.0, 10.0)]
    even = [(1.0, 1.1, 1.2), (1.2, 1.1, 1.0), (1.1, 1.1, 1.1)]

    assert plan_grid(fingerprint([(64, 64, 20)] * 5, spacings)).spacing == (1.0, 1.0, 5.0)
    assert plan_grid(fingerprint([(64, 64, 20)] * 3, even)).spacing == (1.1, 1.1, 1.1)


@pytest.mark.parametrize(("axis", "orientation"), [(0, "PSL"), (1, "LSP"), (2, "LPS")])
def test_single_slices_are_turned_so_that_z_crosses_them(axis: int, orientation: str) -> None:
    size, spacing = [64, 64, 64], [0.5, 0.5, 0.5]
    size[axis], spacing[axis] = 1, 6.0

    grid = plan_grid(fingerprint([tuple(size)] * 3, [tuple(spacing)] * 3, thin_axis=axis))

    assert (grid.orientation, grid.spacing) == (orientation, (0.5, 0.5, 6.0))
    plan = make_plan(fingerprint([tuple(size)] * 3, [tuple(spacing)] * 3, thin_axis=axis))
    assert {teacher.patch for teacher in plan.teachers} == {(64, 64)}
    assert plan.mirror == {"PSL": (), "LSP": (2,), "LPS": (2,)}[orientation]


def test_ct_is_standardised_by_constants_and_mr_by_each_image() -> None:
    sparse = replace(INSIDE, zeros=0.6)
    names = {"CT": INSIDE, "MRI": INSIDE, "T1": sparse, "ultrasound": sparse}

    plan = make_plan(fingerprint([(32, 32, 32)] * 2, [(1.0,) * 3] * 2, intensities=names))

    assert [channel.normalisation for channel in plan.channels] == [
        Normalisation("fixed", clip=(-100.0, 300.0), mean=60.0, std=40.0),
        Normalisation("zscore"),
        Normalisation("zscore", nonzero=True),
        Normalisation("zscore"),
    ]


SHAPES = {
    "crops": ([(36, 50, 37)] * 3, [(1.0, 1.0, 1.0)] * 3),
    "thorax": ([(512, 512, 180)] * 3, [(0.98, 0.98, 2.5)] * 3),
    "heart": ([(216, 256, 9)] * 3, [(1.5, 1.5, 10.0)] * 3),
    "sagittal slices": ([(20, 256, 256)] * 3, [(5.0, 0.8, 0.8)] * 3),
    "tiny": ([(5, 6, 4)] * 3, [(1.0, 1.0, 1.0)] * 3),
    "pictures": ([(530, 510)] * 3, [(1.0, 1.0)] * 3),
}


def planned(name: str, memory: float = 4.0) -> Plan:
    sizes, spacings = SHAPES[name]
    return make_plan(fingerprint(sizes, spacings, physical=name != "pictures"), memory)


@pytest.mark.parametrize("name", SHAPES)
def test_networks_fit_their_patches_and_the_memory(name: str) -> None:
    plan = planned(name)

    for network in (*plan.teachers, plan.student):
        built = build_network(network.architecture, network.arguments)
        assert all(p % d == 0 for p, d in zip(network.patch, built.divisor, strict=True))
        assert network.memory_gib <= 4.0
        assert network.batch == 2 or network.batch * math.prod(network.patch) <= STEP_VOXELS
        assert network.parameters == sum(p.numel() for p in built.parameters())


def test_coarse_slices_are_seen_in_their_plane_alone() -> None:
    views = {name: planned(name).teachers[2].views for name in ("crops", "heart")}

    assert views == {"crops": ("axial", "coronal", "sagittal"), "heart": ("axial",)}
    assert planned("sagittal slices").teachers[2].views == ("sagittal",)
    assert planned("heart").student.arguments["stem_stride"] == [1, 2, 2]


def test_less_memory_makes_narrower_networks_and_smaller_patches() -> None:
    large, small = planned("thorax", 16.0), planned("thorax", 1.0)

    assert large.teachers[0].arguments["widths"][0] == 32
    assert small.teachers[0].arguments["widths"][0] == 8
    assert math.prod(small.teachers[0].patch) < math.prod(large.teachers[0].patch)
    assert small.teachers[0].memory_gib <= 1.0


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(UsageError, match=r"needs .* GiB for the smallest patch\. Allow a training"):
        planned("thorax", 0.001)


def test_labels_of_one_side_are_not_mirrored() -> None:
    sided = {"left kidney": Structure(1, 3, 1.0), "spine": Structure(2, 3, 1.0)}
    both = {"uprighting": Structure(1, 3, 1.0)}
    shape = [(32, 32, 32)] * 3, [(1.0,) * 3] * 3

    assert make_plan(fingerprint(*shape, structures=sided)).mirror == ()
    assert make_plan(fingerprint(*shape, structures=both)).mirror == (2,)


def test_small_images_are_crops_and_large_ones_are_not() -> None:
    assert planned("crops").field_of_view.extent_mm == (36.0, 50.0, 37.0)
    assert planned("thorax").field_of_view.kind == "whole"
    assert planned("pictures").spacing_range_mm is None


@pytest.mark.parametrize(
    ("architecture", "arguments", "patch"),
    [
        ("unet3d", {"widths": [4, 8]}, (8, 8, 12)),
        ("dilated2d", {"width": 8, "dilations": [2, 4]}, (40, 40)),
        ("student_unet", {"widths": [8, 16]}, (8, 12, 16)),
    ],
)
def test_the_memory_counted_is_what_the_way_back_keeps(
    architecture: str, arguments: dict[str, Any], patch: tuple[int, ...]
) -> None:
    arguments = {"in_channels": 1, "classes": 2, **arguments}
    network = build_network(architecture, arguments).train()
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        torch.softmax(network(torch.zeros(2, 1, *patch)), 1)

    a_patch, of_network = training_bytes(architecture, arguments, patch)
    truth = sum(storage.nbytes() for storage in kept.values())
    assert 2 * a_patch + of_network / 4 == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("name", ["Task04_Hippocampus", "Dataset102_SunnybrookLV"])
def test_a_real_data_set_gets_a_plan(data_folder: Path, name: str) -> None:
    found = take_fingerprint(find_dataset(name, data_folder), most=5)

    plan = make_plan(found)

    flat = name == "Dataset102_SunnybrookLV"
    assert plan.student.patch == ((256, 256) if flat else (40, 56, 40))
    assert plan.grid.spacing == (None if flat else (1.0, 1.0, 1.0))
