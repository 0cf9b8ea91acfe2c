"""A small study of balls, as its file says it, and the data set that it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import yaml

from Testing.training import balls

CONTENT: dict[str, Any] = {
    "dataset": "Task99_Made",
    "channels": [{"name": "T1", "modality": "MR", "normalisation": {"method": "zscore"}}],
    "grid": {"dimensions": 3, "spacing": [1.0, 1.0, 1.0]},
    "labels": [{"value": 1, "name": "ball", "color": [255, 0, 0]}],
    "field_of_view": {"kind": "whole"},
    "bundle": {
        "name": "Ball",
        "title": "Ball",
        "summary": "A ball.",
        "expects": {"description": "balls"},
        "licence": "CC0-1.0",
        "citation": "none",
        "training_data": "none",
    },
    "teachers": [
        {
            "name": "slices",
            "architecture": "dilated2d",
            "arguments": {"in_channels": 1, "classes": 2},
            "patch": [16, 16],
            "views": ["axial", "sagittal"],
            "seed": 1,
            "schedule": {"losses": {"dice": 1.0}, "steps": 10},
        },
        {
            "name": "volume",
            "architecture": "resnet3d",
            "arguments": {"in_channels": 1, "classes": 2, "width": 8},
            "patch": [16, 16, 16],
            "seed": 2,
            "schedule": {"losses": {"cross_entropy": 1.0}, "steps": 10, "mirror": [2]},
        },
    ],
    "students": [
        {
            "name": "student",
            "architecture": "student_unet",
            "arguments": {"in_channels": 1, "classes": 2, "widths": [8, 16]},
            "patch": [16, 16, 16],
            "seed": 3,
            "schedule": {"losses": {"mse_probabilities": 1.0, "dice": 0.1}, "steps": 10},
        }
    ],
}

SPLITS = {
    "train": ["ball0-0", "ball0-1", "ball0-2", "ball0-3", "ball0-4", "ball0-5"],
    "val": ["ball1-0", "ball1-1"],
    "test": ["ball2-0", "ball2-1"],
}


def write_dataset(folder: Path) -> None:
    made = [case for seed, count in ((0, 6), (1, 2), (2, 2)) for case in balls.cases(count, seed)]
    for name, arrays in (
        ("images", {case.name: case.image[0] for case in made}),
        ("labels", {case.name: case.labels for case in made}),
    ):
        (folder / f"{name}Tr").mkdir(parents=True)
        for case, array in arrays.items():
            path = folder / f"{name}Tr" / f"{case}.nii.gz"
            sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    description = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "ball"}}
    (folder / "dataset.json").write_text(json.dumps(description), "utf-8")
    (folder / "splits.json").write_text(json.dumps(SPLITS), "utf-8")


def arm(name: str, losses: dict[str, float], seed: int, **changes: Any) -> dict[str, Any]:
    schedule = {"steps": 80, "batch": 4, "learning_rate": 0.01, "warmup": 5, "averaging": 0.9}
    return {
        "name": name,
        "architecture": "student_unet",
        "arguments": {"in_channels": 1, "classes": 2, "dimensions": 3, "widths": [8, 16]},
        "patch": [16, 16, 16],
        "seed": seed,
        "schedule": {**schedule, "validate_every": 20, "losses": losses, **changes},
    }


def write_study(path: Path) -> None:
    volume = arm("volume", {"dice": 1.0}, 1)
    slices = arm("slices", {"cross_entropy": 1.0}, 2, batch=16)
    slices["arguments"] = {**slices["arguments"], "dimensions": 2}
    slices |= {"patch": [16, 16], "views": ["axial", "coronal", "sagittal"]}
    student = arm("student", {"mse_probabilities": 1.0, "cross_entropy": 0.1}, 3)
    channels = [{"name": "T1", "modality": "MR", "normalisation": {"method": "none"}}]
    arms = {"teachers": [volume, slices], "students": [student]}
    content = {**CONTENT, "channels": channels, **arms}
    path.write_text(yaml.safe_dump(content), "utf-8")
