"""What the codes of a FreeSurfer label map stand for: tissues, and the structures to segment.

Codes up to 2035 are FreeSurfer's colour table. Those from 502 on are what SynthSeg's label maps
(Billot et al. 2023, doi:10.1016/j.media.2023.102789) use outside the brain; their names are read
off the pictures and the T1 statistics that come with those maps, since nothing else states them.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.imaging.reading import READERS, read_labels

CODES: dict[str, tuple[int, ...]] = {
    "air": (0,),
    "white": (2, 41, 85, 192, *range(251, 256)),
    "periventricular": (25, 57, 77, 78, 79),
    "vessel": (30, 62),
    "cortex": (3, 42, 17, 18, 53, 54, *range(1000, 1036), *range(2000, 2036)),
    "caudate": (11, 50, 26, 58),
    "putamen": (12, 51, 80),
    "pallidum": (13, 52),
    "thalamus": (9, 10, 48, 49),
    "ventral_diencephalon": (28, 60),
    "cerebellar_white": (7, 46),
    "cerebellar_grey": (8, 47),
    "brain_stem": (16,),
    "csf": (4, 5, 14, 15, 24, 43, 44, 72),
    "choroid": (31, 63, 136, 137, 163, 164),
    "artery": (502,),
    "eye": (506,),
    "muscle": (507, 508),
    "mucosa": (509,),
    "skin": (511,),
    "cord": (512,),
    "vein": (514,),
    "bone": (515,),
    "marrow": (516,),
    "optic_nerve": (530,),
    # put there by the generator
    "fat": (),
    "lesion": (),
    "enhancing": (),
}
"""Tissue, which gives the intensity, to the codes of a label map."""

TISSUES = tuple(CODES)

STRUCTURES: dict[str, tuple[str, ...]] = {
    "White matter": ("white", "periventricular", "vessel"),
    "Cortical grey matter": ("cortex",),
    "Basal ganglia and thalami": (
        "caudate",
        "putamen",
        "pallidum",
        "thalamus",
        "ventral_diencephalon",
    ),
    "Cerebellum": ("cerebellar_white", "cerebellar_grey"),
    "Brain stem": ("brain_stem",),
    "Ventricles and CSF": ("csf", "choroid"),
}
"""Structure to its tissues. The labels are numbered in this order from 1.

Hippocampus and amygdala count as cortical, the accumbens area and the ventral diencephalon as
basal ganglia, the optic chiasm as white matter; the spinal cord is background.
"""

LESION = "Lesion"
LESION_TISSUES = ("lesion", "enhancing")


def tissue(name: str) -> int:
    """The number of a tissue in arrays of tissues."""
    return TISSUES.index(name)


def label_names(lesions: bool) -> tuple[str, ...]:
    """The names of the labels 1, 2, ..."""
    return (*STRUCTURES, LESION) if lesions else tuple(STRUCTURES)


def structure_of_tissue() -> np.ndarray:
    """uint8: the label of each tissue, 0 outside the structures; a lesion is the last one."""
    result = np.zeros(len(TISSUES), np.uint8)
    groups = (*STRUCTURES.values(), LESION_TISSUES)
    for value, names in enumerate(groups, 1):
        for name in names:
            result[tissue(name)] = value
    return result


def find_label_maps(folder: Path) -> list[Path]:
    """The label maps in a folder, or in its subfolder ``labels``, sorted by name.

    Raises
    ------
    DatasetError : there is none.
    """
    for place in (Path(folder), Path(folder) / "labels"):
        if place.is_dir():
            found = [path for path in place.iterdir() if path.name.lower().endswith(tuple(READERS))]
            maps = sorted(path for path in found if not path.name.startswith("."))
            if maps:
                return maps
    raise DatasetError(
        f"{folder} holds no label map.",
        "Give a folder of FreeSurfer-coded label maps (NIfTI, NRRD or MHA) of whole heads.",
    )


def read_tissues(path: Path) -> sitk.Image:
    """Read a label map as tissues: uint8 numbers of ``TISSUES``, axes L, P, S.

    Raises
    ------
    ImageError : it cannot be read.
    DatasetError : a code that is not known, or a map without white matter.
    """
    image = read_labels(path)
    if image.GetDimension() != 3:
        raise DatasetError(f"{path} is flat.", "Give label maps of whole heads.")
    image = sitk.DICOMOrient(image, "LPS")
    codes = sitk.GetArrayViewFromImage(image)
    table = _table()
    unknown = [int(c) for c in np.flatnonzero(np.bincount(codes.ravel())) if table[c] == 255]
    if unknown:
        raise DatasetError(
            f"{path} has the label {unknown[0]}, which is no FreeSurfer code known here.",
            "Give maps with FreeSurfer's codes, or remove that label.",
        )
    tissues = table[codes]
    if not (tissues == tissue("white")).any():
        raise DatasetError(
            f"{path} has no white matter (label 2 or 41).", "Give FreeSurfer-coded label maps."
        )
    result = sitk.GetImageFromArray(tissues)
    result.CopyInformation(image)
    return result


@functools.cache
def _table() -> np.ndarray:
    table = np.full(65536, 255, np.uint8)
    for number, codes in enumerate(CODES.values()):
        table[list(codes)] = number
    return table
