"""Tiny folders in the layouts in which public data sets are given out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), "utf-8")


def write_image(
    path: Path,
    array: np.ndarray,
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> None:
    """An image [z, y, x] or [y, x] in a file; its folder is made."""
    image = sitk.GetImageFromArray(array)
    if path.suffix != ".png":
        image.SetSpacing(spacing[: array.ndim])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def volume(shape: tuple[int, ...] = (4, 6, 8), seed: int = 0) -> np.ndarray:
    """Noise, int16."""
    return np.random.default_rng(seed).integers(0, 200, shape).astype(np.int16)


def labels(values: tuple[int, ...], shape: tuple[int, ...] = (4, 6, 8)) -> np.ndarray:
    """Background and one row of each value, uint8."""
    made = np.zeros(shape, np.uint8)
    for row, value in enumerate(values, 1):
        made[..., row, 1:-1] = value
    return made


def segthor(folder: Path, labelled: int = 10, bare: int = 2) -> Path:
    """``train/Patient_01/`` with GT and ``test/Patient_41.nii.gz`` without."""
    spacing = (0.98, 0.98, 2.5)
    for number in range(1, labelled + 1):
        name = f"Patient_{number:02}"
        write_image(folder / "train" / name / f"{name}.nii.gz", volume(seed=number), spacing)
        write_image(folder / "train" / name / "GT.nii.gz", labels((1, 2, 3, 4)), spacing)
    for number in range(41, 41 + bare):
        write_image(folder / "test" / f"Patient_{number}.nii.gz", volume(seed=number), spacing)
    return folder


def acdc(folder: Path, training: int = 5, testing: int = 2, tested: bool = True) -> Path:
    """``training/`` and ``testing/`` with both frames a patient and Info.cfg."""
    for number in [*range(1, training + 1), *range(101, 101 + testing)]:
        part = "training" if number <= 100 else "testing"
        place = folder / part / f"patient{number:03}"
        for frame in (1, 12):
            stem = f"patient{number:03}_frame{frame:02}"
            spacing = (1.5, 1.5, 10.0)
            write_image(place / f"{stem}.nii.gz", volume(seed=number + frame), spacing)
            if part == "training" or tested:
                write_image(place / f"{stem}_gt.nii.gz", labels((1, 2, 3)), spacing)
        (place / "Info.cfg").write_text("ED: 1\nES: 12\nGroup: NOR\nHeight: 184.0\n", "utf-8")
    return folder


def brats2018(folder: Path, cases: tuple[str, ...] = ("Brats18_2013_2_1",)) -> Path:
    """``HGG/<case>/`` with four contrasts and labels."""
    for case in cases:
        place = folder / "HGG" / case
        for number, end in enumerate(("t1", "t1ce", "t2", "flair")):
            write_image(place / f"{case}_{end}.nii.gz", volume(seed=number))
        write_image(place / f"{case}_seg.nii.gz", labels((1, 2, 4)))
    return folder


NNUNET = {
    "channel_names": {"0": "CT", "1": "PET"},
    "labels": {"background": 0, "organ": 1, "lesion": 2},
    "file_ending": ".nii.gz",
}


def nnunet(folder: Path, **changes: Any) -> Path:
    """Four cases of two channels to train, one with labels to test and one without."""
    folder.mkdir(parents=True)
    write_json(folder / "dataset.json", {**NNUNET, **changes})
    for case, end in (("a", "Tr"), ("b", "Tr"), ("c", "Tr"), ("d", "Tr"), ("e", "Ts"), ("f", "Ts")):
        for channel in range(2):
            write_image(folder / f"images{end}" / f"{case}_{channel:04}.nii.gz", volume())
        if case != "f":
            write_image(folder / f"labels{end}" / f"{case}.nii.gz", labels((1, 2)))
    return folder


def pictures(folder: Path, cases: tuple[str, ...] = ("p1", "p2", "p3", "p4", "p5")) -> Path:
    """A raw nnU-Net folder of grey PNG files with one label."""
    folder.mkdir(parents=True)
    write_json(
        folder / "dataset.json",
        {
            "channel_names": {"0": "ultrasound"},
            "labels": {"background": 0, "nerve": 1},
            "file_ending": ".png",
        },
    )
    for seed, case in enumerate(cases):
        grey = volume((20, 24), seed).astype(np.uint8)
        write_image(folder / "imagesTr" / f"{case}_0000.png", grey)
        write_image(folder / "labelsTr" / f"{case}.png", labels((1,), (20, 24)))
    return folder
