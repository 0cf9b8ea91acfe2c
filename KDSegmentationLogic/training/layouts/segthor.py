"""The layout of SegTHOR: chest CT with heart, aorta, trachea and oesophagus.

    [train/]Patient_01/Patient_01.nii.gz    CT
    [train/]Patient_01/GT.nii.gz            1 oesophagus, 2 heart, 3 trachea, 4 aorta
    test/Patient_41.nii.gz                  without labels, also in a folder of its own

40 patients with labels and 20 without. Lambert et al. 2019, arXiv:1912.05950. Where somebody has
added ``val`` or labels of ``test``, these lists are taken as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.training.layouts.base import UNLABELLED, About, CaseFiles, Dataset, Layout
from KDSegmentationLogic.training.layouts.reading import (
    assembled,
    check_some,
    listed_cases,
    visible,
)

LABELS = {1: "Oesophagus", 2: "Heart", 3: "Trachea", 4: "Aorta"}
ABOUT = About(
    "Organs at risk in chest CT",
    "SegTHOR: heart, aorta, trachea and oesophagus in CT",
    "Lambert et al. 2019, SegTHOR: Segmentation of Thoracic Organs at Risk in CT images,"
    " arXiv:1912.05950",
)
_CASE = re.compile(r"(Patient_\d+)(\.nii(?:\.gz)?)?", re.IGNORECASE)
_ENDINGS = (".nii.gz", ".nii")


def read_segthor(folder: Path) -> Dataset:
    """Read a SegTHOR folder, and ``splits.json`` where there is one.

    Raises
    ------
    DatasetError : a case without image, one training case without labels, a patient twice.
    """
    folder = Path(folder)
    cases: dict[str, CaseFiles] = {}
    own: dict[str, tuple[str, ...]] = {"train": (), "val": (), "test": (), UNLABELLED: ()}
    for place, split in ((".", "train"), ("train", "train"), ("val", "val"), ("test", "test")):
        for case in _cases(folder / place):
            if case.name in cases:
                raise DatasetError(
                    f"{folder} holds {case.name} twice.", "Remove one of them from the folder."
                )
            if split != "test" and case.labels is None:
                raise DatasetError(
                    f"{case.images[0].parent} has no GT.nii.gz.",
                    f"Complete the case, or move it to {folder / 'test'}.",
                )
            cases[case.name] = case
            key = split if case.labels else UNLABELLED
            own[key] = (*own[key], case.name)
    check_some(cases, folder, "a folder Patient_01 with Patient_01.nii.gz and GT.nii.gz")
    return assembled(folder, ("CT",), LABELS, listed_cases(folder, cases, own), {}, ABOUT)


def _cases(place: Path) -> list[CaseFiles]:
    found = []
    for path in visible(place):
        match = _CASE.fullmatch(path.name)
        if not match:
            continue
        if path.is_file():
            found.append(CaseFiles(match[1], (path,), None))
            continue
        image = _file(path, path.name)
        if image is None:
            raise DatasetError(
                f"{path} has no image {path.name}.nii.gz.", "Complete the case, or remove it."
            )
        found.append(CaseFiles(path.name, (image,), _file(path, "GT")))
    return found


def _file(folder: Path, stem: str) -> Path | None:
    return next((p for e in _ENDINGS if (p := folder / f"{stem}{e}").is_file()), None)


def _recognise(folder: Path) -> bool:
    places = (folder, folder / "train")
    return any(_CASE.fullmatch(path.name) for place in places for path in visible(place))


LAYOUT = Layout("SegTHOR", "folders Patient_01 with GT.nii.gz", _recognise, read_segthor)
