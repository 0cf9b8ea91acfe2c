"""From a data set's fingerprint to the figures of a study: grid, normalisation, networks, patches.

The rules are few and each is said in its place; a person reads the study and changes it. Spacing
and normalisation follow nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from KDSegmentationLogic.bundles.description import Channel, FieldOfView, Grid, Normalisation, View
from KDSegmentationLogic.training.fingerprint import Fingerprint, Intensities
from KDSegmentationLogic.training.sizing import STEP_VOXELS, PlannedNetwork, Sizes, cut, up

DEFAULT_MEMORY_GIB = 4.0

ANISOTROPIC = 3.0
"""Ratio of two spacings from which a network sees slices rather than volumes."""

_CROP_MM = 120.0
"""Images smaller than this along each axis are crops round a structure, not a body's part."""

_SPARSE = 0.25
"""Share of zeros from which an MR image counts as cut out of its background."""


@dataclass(frozen=True)
class Plan:
    """What a study needs to know of its data. ``mirror``: axes that may be flipped, 0 z to 2 x."""

    channels: tuple[Channel, ...]
    grid: Grid
    field_of_view: FieldOfView
    spacing_range_mm: tuple[float, float] | None
    mirror: tuple[int, ...]
    teachers: tuple[PlannedNetwork, ...]
    student: PlannedNetwork


def make_plan(fingerprint: Fingerprint, memory_gib: float = DEFAULT_MEMORY_GIB) -> Plan:
    """Decide on everything that follows from the data.

    Parameters
    ----------
    memory_gib : that one training may take, for activations and weights.

    Raises
    ------
    UsageError : too little memory for the smallest patch.
    """
    flat = fingerprint.dimensions == 2 or fingerprint.thin_axis is not None
    grid = plan_grid(fingerprint)
    extent = _extent_on(grid, fingerprint)
    channels = tuple(
        Channel(name, modality_of(name), plan_normalisation(name, intensities, flat))
        for name, intensities in fingerprint.intensities.items()
    )
    sized = Sizes(len(channels), len(fingerprint.structures) + 1, memory_gib)
    if flat:
        teachers, student = _flat_networks(sized, extent)
    else:
        teachers, student = _volume_networks(sized, extent, _spacing_on(grid, fingerprint))
    return Plan(
        channels,
        grid,
        _field_of_view(fingerprint, flat),
        _spacing_range(fingerprint),
        () if _sided(fingerprint) else _left_right(grid, flat),
        teachers,
        student,
    )


def _left_right(grid: Grid, flat: bool) -> tuple[int, ...]:
    """The axis of the volume (0 z, 1 y, 2 x) along which a body is the same on both sides."""
    if grid.dimensions == 2:
        return (2,)  # nothing says how a picture lies
    axis = 2 - next(i for i, letter in enumerate(grid.orientation) if letter in "LR")
    return () if flat and axis == 0 else (axis,)  # sagittal slices have no other side


def modality_of(channel: str) -> str:
    """DICOM's code of the modality that a channel's name speaks of; OT (other) where unknown."""
    words = set(re.split(r"[^a-z0-9]+", channel.lower()))
    for code, names in (
        ("CT", {"ct", "cbct", "cta"}),
        ("US", {"us", "ultrasound", "echo"}),
        ("PT", {"pet", "pt", "suv"}),
        ("MR", {"mr", "mri", "t1", "t2", "t1w", "t2w", "t1c", "t1ce", "t1gd", "flair", "adc"}),
        ("MR", {"dwi", "pd", "cine", "fmri"}),
    ):
        if words & names:
            return code
    return "OT"


def plan_normalisation(channel: str, inside: Intensities, flat: bool = False) -> Normalisation:
    """CT by constants of the training data; everything else by each image's own.

    CT numbers mean the same in every image: they are clipped to the percentiles 0.5 and 99.5
    inside structures and standardised by mean and deviation there. The units of MR and
    ultrasound differ from image to image. Where an MR volume is cut out of its background (a
    skull-stripped brain), the background is left out of its statistics; in a ``flat`` picture
    of 256 grey values zero is only the darkest of them.
    """
    modality = modality_of(channel)
    if modality == "CT" and inside.std > 0:
        low, high, mean, std = (
            round(v, 1) for v in (inside.low, inside.high, inside.mean, inside.std)
        )
        if std > 0 and low < high:
            return Normalisation("fixed", clip=(low, high), mean=mean, std=std)
    cut_out = modality == "MR" and not flat and inside.zeros >= _SPARSE
    return Normalisation("zscore", nonzero=cut_out)


def plan_grid(fingerprint: Fingerprint) -> Grid:
    """Spacing and orientation of the networks' grid.

    Pictures keep their pixels, since nothing says how large these are. Otherwise the spacing is
    the median of each axis, of a coarse axis (three times another or more) the 10th percentile:
    few cases then lose slices. Single slices are turned so that z crosses them.
    """
    if fingerprint.dimensions == 2 or not fingerprint.physical:
        return Grid(2 if fingerprint.dimensions == 2 else 3)
    spacings = np.asarray(fingerprint.spacings)
    chosen = np.median(spacings, axis=0)
    thin = fingerprint.thin_axis
    if thin is not None:
        code = "LPS"
        orientation = code[:thin] + code[thin + 1 :] + code[thin]
        order = [axis for axis in range(3) if axis != thin] + [thin]
        # a slice's thickness must not become a number of slices
        alike = np.ptp(spacings[:, thin]) <= 0.01 * chosen[thin]
        return Grid(3, _rounded(chosen[order]) if alike else None, orientation)
    for axis in range(3):
        others = np.delete(chosen, axis)
        if chosen[axis] >= ANISOTROPIC * others.min():
            fine = np.percentile(spacings[:, axis], 10)
            chosen[axis] = max(fine, others.max())
    return Grid(3, _rounded(chosen))


def _volume_networks(
    sized: Sizes, extent: tuple[float, ...], spacing: tuple[float, ...]
) -> tuple[tuple[PlannedNetwork, ...], PlannedNetwork]:
    """The three architectures of Noothout et al. and a fast student, for volumes.

    extent, spacing : (z, y, x) of the median case on the grid, in voxels and mm.
    """
    # few slices: a level less rather than a third of the patch in padding
    levels = 4 if up(min(extent), 8) <= min(extent) * 4 / 3 else 3
    widths = [sized.width * 2**level for level in range(levels)]
    step = 2 ** (levels - 1)
    whole = tuple(up(length, step) for length in extent)
    patch = sized.fitted("unet3d", whole, spacing, step, widths=widths)
    views = _views(spacing)
    across = sorted(patch[1:] if views == ("axial",) else patch)[-2:]
    side = up(sum(across) / 2, 8)
    teachers = (
        sized.network("unet3d", "unet3d", patch, widths=widths),
        sized.network("resnet3d", "resnet3d", patch, width=sized.width, blocks=4, dropout=0.1),
        sized.network(
            "dilated2d",
            "dilated2d",
            (side, side),
            views,
            largest_batch=32,
            width=32,
            dilations=_dilations(side),
            dropout=0.2,
        ),
    )
    coarse = max(spacing)
    stem = [1 if coarse >= ANISOTROPIC * min(spacing) and s == coarse else 2 for s in spacing]
    deep = 4 if min(patch) >= 64 else 3
    fast = tuple(up(length, s * 2 ** (deep - 1)) for length, s in zip(patch, stem, strict=True))
    student = sized.network(
        "student",
        "student_unet",
        fast,
        dimensions=3,
        widths=[24, 48, 96, 160][:deep],
        stem_stride=2 if stem == [2, 2, 2] else stem,
    )
    return teachers, student


def _flat_networks(
    sized: Sizes, extent: tuple[float, ...]
) -> tuple[tuple[PlannedNetwork, ...], PlannedNetwork]:
    """Three kinds of 2-D network and a fast student, for pictures and single slices."""
    widths = [sized.width * 2**level for level in range(4)]
    unet: dict[str, Any] = {"dimensions": 2, "widths": widths, "stem_stride": 1}
    dilated: dict[str, Any] = {"width": 32, "dropout": 0.2}
    square = (1.0, 1.0)
    whole = tuple(up(length, 16) for length in extent[1:])
    patch = sized.fitted(
        "student_unet", cut(whole, square, 16, STEP_VOXELS / 2), square, 16, **unet
    )
    dilated["dilations"] = _dilations(min(patch))
    small = sized.fitted("dilated2d", patch, square, 16, **dilated)
    axial: tuple[View, ...] = ("axial",)
    wide = {"dimensions": 2, "widths": [2 * width for width in widths], "stem_stride": 2}
    teachers = (
        sized.network("unet2d", "student_unet", patch, axial, 16, **unet),
        sized.network("stemunet2d", "student_unet", patch, axial, 16, **wide),
        sized.network("dilated2d", "dilated2d", small, axial, 16, **dilated),
    )
    fast = {"dimensions": 2, "widths": [24, 48, 96], "stem_stride": 2}
    return teachers, sized.network("student", "student_unet", patch, axial, 16, **fast)


def _views(spacing: tuple[float, ...]) -> tuple[View, ...]:
    """Slicings whose pixels are about square; spacing (z, y, x)."""
    names: tuple[View, ...] = ("axial", "coronal", "sagittal")
    good = []
    for axis, name in enumerate(names):
        inside = [s for other, s in enumerate(spacing) if other != axis]
        if max(inside) < ANISOTROPIC * min(inside):
            good.append(name)
    return tuple(good) or ("axial",)


def _dilations(side: int) -> list[int]:
    """As many of 2, 4, 8, 16, 32 as see no further than the patch is wide."""
    chosen = [2]
    for rate in (4, 8, 16, 32):
        if 2 * (3 + sum(chosen) + rate) + 1 <= side:
            chosen.append(rate)
    return chosen


def _rounded(spacing: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(f"{value:.5g}") for value in spacing)
    return x, y, z


def _extent_on(grid: Grid, fingerprint: Fingerprint) -> tuple[float, ...]:
    """Median size (z, y, x) on the grid, in voxels."""
    sizes, spacings = np.asarray(fingerprint.sizes, float), np.asarray(fingerprint.spacings)
    if fingerprint.dimensions == 2:
        return (1.0, *np.median(sizes, axis=0)[::-1].tolist())
    axes = ["LPS".index(letter) for letter in grid.orientation]
    sizes, spacings = sizes[:, axes], spacings[:, axes]
    if grid.spacing is not None:
        sizes = sizes * spacings / np.asarray(grid.spacing)
    return tuple(np.median(sizes, axis=0)[::-1].tolist())


def _spacing_on(grid: Grid, fingerprint: Fingerprint) -> tuple[float, ...]:
    """mm (z, y, x); the medians where the grid keeps each image's own."""
    return tuple(grid.spacing or fingerprint.median_spacing())[::-1]


def _field_of_view(fingerprint: Fingerprint, flat: bool) -> FieldOfView:
    if flat or not fingerprint.physical:
        return FieldOfView("whole")
    lengths = np.median(np.multiply(fingerprint.sizes, fingerprint.spacings), axis=0)
    if lengths.max() >= _CROP_MM:
        return FieldOfView("whole")
    x, y, z = (float(round(length)) for length in lengths)
    return FieldOfView("crop", (x, y, z))


def _spacing_range(fingerprint: Fingerprint) -> tuple[float, float] | None:
    """From two thirds of the smallest to one and a half of the largest spacing, mm."""
    if not fingerprint.physical:
        return None
    spacings = np.asarray(fingerprint.spacings)
    return round(float(spacings.min()) / 1.5, 2), round(float(spacings.max()) * 1.5, 2)


def _sided(fingerprint: Fingerprint) -> bool:
    """Whether some label is of one side of the body."""
    names = " ".join(fingerprint.structures).lower()
    return bool(re.search(r"(?<![a-z])(left|right)(?![a-z])", names))
