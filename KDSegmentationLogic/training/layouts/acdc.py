"""The layout of ACDC: cine cardiac MR, labelled at end-diastole (ED) and end-systole (ES).

    [database/]training/patient001/Info.cfg                     the numbers of both frames
    [database/]training/patient001/patient001_frame01.nii.gz    image
    [database/]training/patient001/patient001_frame01_gt.nii.gz 1 right ventricle, 2 myocardium,
                                                                3 left ventricle
    [database/]testing/patient101/...                           with or without labels

Each patient gives two cases, ``patient001_ED`` and ``patient001_ES``, that stay together. 100
patients to train, 50 to test. Bernard et al. 2018, doi:10.1109/TMI.2018.2837502.
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

LABELS = {1: "Right ventricle", 2: "Myocardium", 3: "Left ventricle"}
FRAMES = ("ED", "ES")
ABOUT = About(
    "Heart in cine MR",
    "ACDC: cavities and myocardium at end-diastole and end-systole in cine MR",
    "Bernard et al. 2018, Deep Learning Techniques for Automatic MRI Cardiac Multi-Structures"
    " Segmentation and Diagnosis, doi:10.1109/TMI.2018.2837502",
)
_PATIENT = re.compile(r"patient\d+", re.IGNORECASE)
_ENDINGS = (".nii.gz", ".nii")


def read_acdc(folder: Path) -> Dataset:
    """Read an ACDC folder, and ``splits.json`` where there is one.

    Raises
    ------
    DatasetError : Info.cfg or a frame's image is missing; a training frame without labels;
        a patient twice.
    """
    folder = Path(folder)
    root = _root(folder)
    cases: dict[str, CaseFiles] = {}
    patients: dict[str, str] = {}
    own: dict[str, tuple[str, ...]] = {"train": (), "val": (), "test": (), UNLABELLED: ()}
    for place, split in ((".", "train"), ("training", "train"), ("testing", "test")):
        for patient in _patients(root / place):
            if patient.name in patients.values():
                raise DatasetError(
                    f"{folder} holds {patient.name} twice.", "Remove one of them from the folder."
                )
            for case in _frames(patient, needs_labels=split == "train"):
                cases[case.name] = case
                patients[case.name] = patient.name
                key = split if case.labels else UNLABELLED
                own[key] = (*own[key], case.name)
    check_some(cases, folder, "a folder patient001 with Info.cfg and its two frames")
    listed = listed_cases(folder, cases, own)
    return assembled(folder, ("cine MR",), LABELS, listed, patients, ABOUT)


def _root(folder: Path) -> Path:
    return folder / "database" if (folder / "database").is_dir() else folder


def _patients(place: Path) -> list[Path]:
    return [p for p in visible(place) if p.is_dir() and _PATIENT.fullmatch(p.name)]


def _frames(patient: Path, needs_labels: bool) -> list[CaseFiles]:
    """The two cases of a patient."""
    numbers = _frame_numbers(patient / "Info.cfg")
    cases = []
    for frame in FRAMES:
        stem = f"{patient.name}_frame{numbers[frame]:02}"
        image, labels = _file(patient, stem), _file(patient, f"{stem}_gt")
        if image is None or (needs_labels and labels is None):
            missing = f"{stem}{'_gt' if image else ''}.nii.gz"
            raise DatasetError(
                f"{patient} lacks {missing}, its {frame} frame.",
                "Complete the patient, or remove its folder.",
            )
        cases.append(CaseFiles(f"{patient.name}_{frame}", (image,), labels))
    return cases


def _frame_numbers(path: Path) -> dict[str, int]:
    """``ED: 1`` and ``ES: 12`` of Info.cfg."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        text = ""
    found = {key: int(n) for key, n in re.findall(r"^\s*(ED|ES)\s*:\s*(\d+)\s*$", text, re.M)}
    for frame in FRAMES:
        if frame not in found:
            raise DatasetError(
                f"{path} does not say which frame is {frame}.", f"It needs a line '{frame}: 1'."
            )
    return found


def _file(folder: Path, stem: str) -> Path | None:
    return next((p for e in _ENDINGS if (p := folder / f"{stem}{e}").is_file()), None)


def _recognise(folder: Path) -> bool:
    root = _root(folder)
    return any(_patients(place) for place in (root, root / "training"))


LAYOUT = Layout("ACDC", "folders patient001 with Info.cfg", _recognise, read_acdc)
