"""Students of one contrast beside their teacher of several, on real heads without labels.

    python benchmarks/one_contrast.py TEACHER STUDENT [STUDENT ...] --patients OpenMS -o results

For each patient (files ``NAME_CONTRAST.nii.gz`` on one grid): the Dice of each structure between
what a student says of its contrast and what the teacher says of all of them, the volumes, and a
picture. That is agreement and no accuracy: where both are wrong alike they agree.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder, whose modules are benchmarks.* here

ALSO_CALLED = {"T1CE": "T1POST"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("teacher", type=Path, help="folder of its bundle")
    parser.add_argument("students", nargs="+", type=Path, metavar="STUDENT", help="likewise")
    parser.add_argument("--patients", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    from benchmarks.real_heads import draw, patients_in

    arguments.output.mkdir(parents=True, exist_ok=True)
    bundles = [arguments.teacher, *arguments.students]
    said, names, colours = segmented(bundles, patients_in(arguments.patients))
    found = {}
    for patient, by_model in said.items():
        teacher, *students = by_model
        maps = {model: labels for model, (_, labels) in by_model.items()}
        found[patient] = beside_teacher(maps[teacher], {s: maps[s] for s in students}, names)
        draw(by_model, colours, arguments.output / f"{patient}.png")
    text = as_markdown(found, arguments.teacher.name)
    (arguments.output / "one-contrast.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    (arguments.output / "one-contrast.md").write_text(text, "utf-8")
    print(text)
    return 0


def segmented(
    bundles: list[Path], patients: Mapping[str, Mapping[str, Path]]
) -> tuple[dict[str, dict[str, tuple[sitk.Image, sitk.Image]]], dict[str, int], dict[int, Any]]:
    """The first image and the label map of each patient by each model; the labels' values by
    name, and their colours."""
    from KDSegmentationLogic.bundles.bundle import load_bundle
    from KDSegmentationLogic.imaging.reading import read_image
    from KDSegmentationLogic.inference.pipeline import Predictor

    said: dict[str, dict[str, tuple[sitk.Image, sitk.Image]]] = {name: {} for name in patients}
    for folder in bundles:
        bundle = load_bundle(folder)
        predictor = Predictor(bundle)
        channels = [channel.name for channel in bundle.description.channels]
        for patient, files in patients.items():
            images = [read_image(path) for path in files_of(channels, files, patient)]
            said[patient][folder.name] = images[0], predictor.segment(images).labels
    labels = bundle.description.labels
    return said, {label.name: label.value for label in labels}, {x.value: x.color for x in labels}


def files_of(channels: list[str], files: Mapping[str, Path], patient: str) -> list[Path]:
    """The files of a model's contrasts, in its order."""
    known = {**files, **{n: files[a] for n, a in ALSO_CALLED.items() if a in files}}
    missing = [name for name in channels if name not in known]
    if missing:
        raise SystemExit(f"{patient} lacks {', '.join(missing)}.")
    return [known[name] for name in channels]


def beside_teacher(
    teacher: sitk.Image, students: Mapping[str, sitk.Image], names: Mapping[str, int]
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Of each student and structure: Dice with the teacher (none where neither has it), and the
    volume in mL; of the teacher the volumes alone."""
    from KDSegmentationLogic.evaluation.structures import compare_labels

    by_value = {value: name for name, value in names.items()}
    voxel = float(np.prod(teacher.GetSpacing())) / 1000
    own = sitk.GetArrayViewFromImage(teacher)
    result: dict[str, dict[str, dict[str, float | None]]] = {
        "teacher": {n: {"volume_ml": float((own == v).sum()) * voxel} for n, v in names.items()}
    }
    for student, labels in students.items():
        result[student] = {
            row.name: {
                "dice": None if row.presence == "absent" else row.dice,
                "volume_ml": row.prediction_volume,
            }
            for row in compare_labels(labels, teacher, by_value)
        }
    return result


def as_markdown(found: Mapping[str, Any], teacher: str) -> str:
    """A table a patient; each cell: Dice with the teacher, and mL."""
    lines = []
    for patient, result in found.items():
        structures = list(result["teacher"])
        lines += [f"## {patient}: Dice with {teacher} (mL)", ""]
        lines += [f"| model | {' | '.join(structures)} |", "|---" + "|---:" * len(structures) + "|"]
        for model, row in result.items():
            cells = []
            for structure in structures:
                dice, volume = row[structure].get("dice"), row[structure]["volume_ml"]
                cells.append(f"{f'{dice:.3f} ' if dice is not None else ''}({volume:.1f})")
            lines.append(f"| {model} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
