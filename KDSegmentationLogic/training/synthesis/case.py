"""One case from one label map. What is drawn depends on seed and number alone.

Whether the skull is shown follows from number, recipe and how many heads take turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.training.synthesis.acquisition import acquire
from KDSegmentationLogic.training.synthesis.anatomy import (
    LESION_TISSUES,
    STRUCTURES,
    label_names,
    read_tissues,
    structure_of_tissue,
    tissue,
)
from KDSegmentationLogic.training.synthesis.contrasts import CONTRASTS, draw_contrast
from KDSegmentationLogic.training.synthesis.deformation import deform
from KDSegmentationLogic.training.synthesis.fields import along_axes, box_matrix, smooth_noise
from KDSegmentationLogic.training.synthesis.lesions import add_lesions

Skull = Literal["with", "without", "both"]
SKULLS: tuple[Skull, ...] = ("with", "without", "both")

FAT_SHARE = {"muscle": 0.35, "skin": 0.65}
"""Of soft tissue and of the outermost layer: the label maps do not tell fat from muscle."""

STRIPPED_MM = (0.0, 4.0)
CLOSED_MM = 8.0


@dataclass(frozen=True)
class Recipe:
    """How cases are made.

    contrasts : one image each, names of ``CONTRASTS``. spacing : mm, the same along all axes.
    lesions : put some in, as a label of their own. skull : ``both`` shows each head with
    and without it in turn.

    Raises
    ------
    ValueError : a contrast or skull that is not known, or a spacing out of 0.5 to 4 mm.
    """

    contrasts: tuple[str, ...] = ("T1", "T2", "FLAIR", "T1CE")
    spacing: float = 2.0
    lesions: bool = False
    skull: Skull = "with"
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.contrasts if name not in CONTRASTS]
        if unknown or not self.contrasts:
            raise ValueError(f"the contrasts must be of {', '.join(CONTRASTS)}")
        if len(set(self.contrasts)) < len(self.contrasts):
            raise ValueError("a contrast is named twice")
        if not 0.5 <= self.spacing <= 4.0:
            raise ValueError("the spacing must be from 0.5 to 4 mm")
        if self.skull not in SKULLS:
            raise ValueError(f"skull must be one of {', '.join(SKULLS)}")
        if self.seed < 0:
            raise ValueError("the seed must not be below zero")

    def shows_skull(self, number: int, heads: int) -> bool:
        """Whether case ``number`` does, where cases take ``heads`` heads in turn.

        With ``both`` it changes from head to head and from round to round; the parity of the
        number alone would never change for a head where their number is even.
        """
        if self.skull == "both":
            return sum(divmod(number, heads)) % 2 == 0
        return self.skull == "with"


@dataclass(frozen=True)
class Case:
    """images : int16, one a contrast. labels : uint8. All on one grid, axes L, P, S."""

    images: tuple[sitk.Image, ...]
    labels: sitk.Image


def read_map(source: Path, recipe: Recipe) -> sitk.Image:
    """Read a label map as ``read_tissues`` does, and check that it serves a recipe.

    Raises
    ------
    ImageError, DatasetError : it cannot be read, or has nothing that could be shown as the skull.
    """
    image = read_tissues(source)
    if recipe.skull != "without" and np.isin(sitk.GetArrayViewFromImage(image), _inner()).all():
        raise DatasetError(
            f"{source} has nothing outside the brain, so no skull can be shown.",
            "Ask for images without skull, or give label maps of whole heads.",
        )
    return image


def synthesise(source: Path, recipe: Recipe, number: int, heads: int = 1) -> Case:
    """Make case ``number`` of a recipe from a label map, one of ``heads`` that take turns.

    The result is the same bit for bit for the same arguments and library versions, whatever was
    made before and however many threads torch has (here it takes one).

    Raises
    ------
    ImageError, DatasetError : a label map that cannot be used.
    """
    draws = np.random.default_rng([recipe.seed, number])
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(draws.integers(2**62)))
        torch.set_num_threads(1)
        try:
            return _synthesise(source, recipe, recipe.shows_skull(number, heads), draws)
        finally:
            torch.set_num_threads(threads)


def _synthesise(source: Path, recipe: Recipe, skull: bool, draws: np.random.Generator) -> Case:
    image = deform(read_map(source, recipe), draws)
    step = _steps(image)
    tissues = sitk.GetArrayFromImage(image)
    if recipe.lesions:
        tissues = add_lesions(tissues, step, draws)
    tissues = _with_fat(tissues, draws)
    sizes = [
        max(1, round(n * s / recipe.spacing)) for n, s in zip(tissues.shape, step, strict=True)
    ]
    voxels = sizes[0], sizes[1], sizes[2]
    labels = _labels(tissues, step, voxels, recipe)
    shown = np.ones(voxels, bool)
    if not skull:
        shown = _brain(labels, recipe.spacing, float(draws.uniform(*STRIPPED_MM)))
        labels[~shown] = 0
    numbers = torch.from_numpy(tissues.astype(np.int64))
    images = []
    for name in recipe.contrasts:
        drawn = draw_contrast(name, draws)
        array = acquire(numbers, step, voxels, recipe.spacing, drawn, draws)
        array[~shown] = 0.0
        whole = np.clip(np.rint(array), 0, 32767).astype(np.int16)
        images.append(_placed(whole, image, recipe.spacing))
    return Case(tuple(images), _placed(labels, image, recipe.spacing))


def _steps(image: sitk.Image) -> tuple[float, float, float]:
    x, y, z = image.GetSpacing()
    return z, y, x


def _inner() -> list[int]:
    """Air, and all tissues inside the skull."""
    names = {name for group in STRUCTURES.values() for name in group}
    return [tissue(name) for name in (*names, *LESION_TISSUES, "air", "vein", "artery")]


def _with_fat(tissues: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Part of the soft tissues turned to fat, in clumps of some millimetres."""
    field = smooth_noise(tissues.shape, 6).numpy()
    result = tissues.copy()
    for name, share in FAT_SHARE.items():
        where = tissues == tissue(name)
        if where.any():
            threshold = np.quantile(field[where][::101], 1 - share * draws.uniform(0.6, 1.4))
            result[where & (field > threshold)] = tissue("fat")
    return result


def _labels(
    tissues: np.ndarray,
    step: tuple[float, ...],
    voxels: tuple[int, int, int],
    recipe: Recipe,
) -> np.ndarray:
    """uint8: the structure that fills most of each voxel."""
    structures = torch.from_numpy(structure_of_tissue()[tissues])
    matrices = [
        box_matrix(count, size, number, recipe.spacing)
        for count, size, number in zip(tissues.shape, step, voxels, strict=True)
    ]
    best = torch.zeros(voxels)
    labels = torch.zeros(voxels, dtype=torch.uint8)
    for value in range(len(label_names(recipe.lesions)) + 1):
        share = along_axes((structures == value).float(), matrices)
        more = share > best
        labels[more] = value
        best = torch.where(more, share, best)
    return labels.numpy()


def _brain(labels: np.ndarray, spacing: float, margin: float) -> np.ndarray:
    """What skull stripping leaves: the brain, what it encloses, and ``margin`` mm of fluid."""
    fluid = list(STRUCTURES).index("Ventricles and CSF") + 1
    tissue_voxels = (labels > 0) & (labels != fluid)
    reach = ndimage.distance_transform_edt(~tissue_voxels, sampling=spacing)
    # wide ventricles are farther from any tissue than that, and enclosed all the same
    near = ndimage.binary_fill_holes(reach <= CLOSED_MM)
    # a rim of air: what is beyond the image counts as outside
    wide = np.pad(near, 1)
    depth = ndimage.distance_transform_edt(wide, sampling=spacing)[1:-1, 1:-1, 1:-1]
    return (depth > CLOSED_MM) | ((labels > 0) & (reach <= margin))


def _placed(array: np.ndarray, source: sitk.Image, spacing: float) -> sitk.Image:
    """An image of ``array`` whose centre is that of ``source``."""
    result = sitk.GetImageFromArray(array)
    direction = np.reshape(source.GetDirection(), (3, 3))
    old = (np.array(source.GetSize()) - 1) / 2 * source.GetSpacing()
    new = (np.array(array.shape[::-1]) - 1) / 2 * spacing
    result.SetSpacing([spacing] * 3)
    result.SetDirection(source.GetDirection())
    result.SetOrigin((np.array(source.GetOrigin()) + direction @ (old - new)).tolist())
    return result
