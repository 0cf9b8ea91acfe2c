"""What a model of brain structures says of real heads, which have no labels.

    python benchmarks/real_heads.py BUNDLE [BUNDLE ...] -o results [--patients OpenMS]

Two checks, with a table and a picture each:

- the ICBM 152 template of the package nilearn against its grey and white matter maps (cut at
  one half), in the planes above z = 12 mm, where a brain is cerebrum alone: the maps do not tell
  cerebellum and brain stem from the rest, which these models do. Grey matter is the cortex with
  the basal ganglia and thalami.
- patients whose contrasts lie on one grid (files ``NAME_CONTRAST.nii.gz``): the Dice
  between what the model says of one contrast and of another. That measures agreement: a
  structure that is wrong alike in both agrees.

Structures are known by the names of the model's labels.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # in place of this folder, whose modules are benchmarks.* here

CEREBRUM_ABOVE_MM = 12.0
TISSUES = {
    "white matter": ("White matter",),
    "grey matter": ("Cortical grey matter", "Basal ganglia and thalami"),
}
CONTRASTS = ("T1", "T1POST", "T2", "FLAIR")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE", help="its folder")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--patients", type=Path, help="folder of NAME_CONTRAST.nii.gz")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    found = {}
    for folder in arguments.bundles:
        found[folder.name] = measured(folder, arguments.patients, arguments.output)
    text = json.dumps(found, indent=2) + "\n"
    (arguments.output / "real-heads.json").write_text(text, encoding="utf-8")
    (arguments.output / "real-heads.md").write_text(as_markdown(found), encoding="utf-8")
    print(as_markdown(found))
    return 0


def measured(folder: Path, patients: Path | None, output: Path) -> dict[str, Any]:
    """Both checks of one model; pictures are written to ``output``."""
    from KDSegmentationLogic.bundles.bundle import load_bundle
    from KDSegmentationLogic.commands.demo import template_file
    from KDSegmentationLogic.imaging.reading import read_image
    from KDSegmentationLogic.inference.pipeline import Predictor

    bundle = load_bundle(folder)
    names = {label.name: label.value for label in bundle.description.labels}
    missing = {structure for parts in TISSUES.values() for structure in parts} - set(names)
    if missing:
        raise SystemExit(f"{folder} does not know {', '.join(sorted(missing))}.")
    colours = {label.value: label.color for label in bundle.description.labels}
    predictor = Predictor(bundle)

    def segment(path: Path) -> tuple[sitk.Image, sitk.Image]:
        image = read_image(path)
        return image, predictor.segment([image]).labels

    template = template_file()
    image, labels = segment(template)
    maps = {
        tissue: read_image(template.with_name(template.name.replace("_t1_", f"_{short}_")))
        for tissue, short in (("white matter", "wm"), ("grey matter", "gm"))
    }
    result: dict[str, Any] = {"template": against_tissue_maps(labels, maps, names)}
    draw({"ICBM 152": (image, labels)}, colours, output / f"{folder.name}-template.png")
    if patients is None:
        return result
    result["contrasts"] = {}
    for name, files in patients_in(patients).items():
        said = {contrast: segment(path) for contrast, path in files.items()}
        maps_said = {contrast: labels for contrast, (_, labels) in said.items()}
        result["contrasts"][name] = between_contrasts(maps_said, names)
        draw(said, colours, output / f"{folder.name}-{name}.png")
    return result


def against_tissue_maps(
    labels: sitk.Image, maps: Mapping[str, sitk.Image], names: Mapping[str, int]
) -> dict[str, dict[str, float | None]]:
    """Dice, HD95 (mm; none where the model found nothing) and volumes (mL) of both tissues.

    Parameters
    ----------
    labels : on the grid of the maps, axial planes along the last index.
    maps : share of each tissue in a voxel, 0 to 255, by the tissue's name.
    names : value of each structure's label.
    """
    from KDSegmentationLogic.evaluation.metrics import compare_masks

    first = _first_plane_above(labels, CEREBRUM_ABOVE_MM)
    array = sitk.GetArrayViewFromImage(labels)[first:]
    spacing = labels.GetSpacing()[::-1]
    result = {}
    for tissue, structures in TISSUES.items():
        said = np.isin(array, [names[structure] for structure in structures])
        known = sitk.GetArrayViewFromImage(maps[tissue])[first:] > 127
        compared = compare_masks(said, known, spacing)
        result[tissue] = {
            "dice": compared.dice,
            "hd95": compared.hd95 if compared.presence == "both" else None,
            "volume_ml": compared.prediction_volume / 1000,
            "reference_ml": compared.reference_volume / 1000,
        }
    return result


def between_contrasts(
    labels: Mapping[str, sitk.Image], names: Mapping[str, int]
) -> dict[str, dict[str, float | None]]:
    """Dice of each structure for each pair of contrasts, ``FIRST-SECOND``; none where neither
    has it."""
    from KDSegmentationLogic.evaluation.structures import compare_labels

    by_value = {value: name for name, value in names.items()}
    result = {}
    for (first, one), (second, other) in itertools.combinations(labels.items(), 2):
        compared = compare_labels(one, other, by_value)
        result[f"{first}-{second}"] = {
            r.name: None if r.presence == "absent" else r.dice for r in compared
        }
    return result


def patients_in(folder: Path) -> dict[str, dict[str, Path]]:
    """The files of each patient of two contrasts or more, in the order of ``CONTRASTS``."""
    names = sorted({path.name.rsplit("_", 1)[0] for path in folder.glob("*_T1.nii.gz")})
    files = {n: {c: folder / f"{n}_{c}.nii.gz" for c in CONTRASTS} for n in names}
    there = {n: {c: p for c, p in found.items() if p.is_file()} for n, found in files.items()}
    return {name: found for name, found in there.items() if len(found) > 1}


def as_markdown(found: Mapping[str, Any]) -> str:
    """All tables, the models below each other."""
    lines = [
        "## ICBM 152 template, cerebrum above z = 12 mm",
        "",
        "| model | tissue | Dice | HD95, mm | mL | mL in the map |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for model, result in found.items():
        for tissue, row in result["template"].items():
            lines.append(
                f"| {model} | {tissue} | {row['dice']:.3f} | {_shown(row['hd95'], 1)} |"
                f" {row['volume_ml']:.0f} | {row['reference_ml']:.0f} |"
            )
    for model, result in found.items():
        for patient, pairs in result.get("contrasts", {}).items():
            structures = list(next(iter(pairs.values())))
            lines += ["", f"## {model}, {patient}: Dice between contrasts", ""]
            lines += [f"| contrasts | {' | '.join(structures)} |"]
            lines += ["|---" + "|---:" * len(structures) + "|"]
            for pair, dice in pairs.items():
                lines.append(f"| {pair} | {' | '.join(map(_shown, dice.values()))} |")
    return "\n".join(lines) + "\n"


def draw(
    said: Mapping[str, tuple[sitk.Image, sitk.Image]],
    colours: Mapping[int, Sequence[int]],
    path: Path,
) -> None:
    """A row an image, three planes through the brain's middle: image, and labels upon it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from KDSegmentationLogic.imaging.geometry import to_orientation

    table = np.zeros((max(colours) + 1, 4), np.uint8)
    for value, colour in colours.items():
        table[value] = (*colour, 160)
    figure, rows = plt.subplots(
        len(said), 6, figsize=(12, 2.3 * len(said)), layout="constrained", squeeze=False
    )
    for row, (name, images) in zip(rows, said.items(), strict=True):
        image, labels = (sitk.GetArrayFromImage(to_orientation(i, "LPS")) for i in images)
        where = np.argwhere(labels) if labels.any() else np.argwhere(image > 0)
        middle = where.mean(axis=0).round().astype(int)
        high = np.percentile(image[image > 0], 99.5)
        for axis in range(3):
            plane, over = image.take(middle[axis], axis), table[labels.take(middle[axis], axis)]
            for column, shows_labels in ((2 * axis, False), (2 * axis + 1, True)):
                row[column].imshow(plane, cmap="gray", vmin=0, vmax=high, origin=_origin(axis))
                if shows_labels:
                    row[column].imshow(over, origin=_origin(axis), interpolation="nearest")
                row[column].set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _shown(figure: float | None, digits: int = 3) -> str:
    return "–" if figure is None else f"{figure:.{digits}f}"


def _origin(axis: int) -> Any:
    """Rows go down to the patient's back in axial planes, up to the head in the others."""
    return "upper" if axis == 0 else "lower"


def _first_plane_above(labels: sitk.Image, z_mm: float) -> int:
    return int(np.ceil((z_mm - labels.GetOrigin()[2]) / labels.GetSpacing()[2]))


if __name__ == "__main__":
    sys.exit(main())
