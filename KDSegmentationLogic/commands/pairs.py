"""Which prediction belongs to which reference: those of one name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from KDSegmentationLogic.commands.inputs import images_in, stem_of
from KDSegmentationLogic.commands.outputs import DEVIATION, PROBABILITIES, UNCERTAINTY
from KDSegmentationLogic.errors import UsageError


@dataclass(frozen=True)
class Pairs:
    """``matched``: prediction and reference by case name; the rest is without counterpart."""

    matched: dict[str, tuple[Path, Path]]
    without_prediction: tuple[Path, ...]
    without_reference: tuple[Path, ...]


def find_pairs(predictions: Path, references: Path) -> Pairs:
    """Two files, whatever their names, or the files of one name in two folders.

    Endings do not count (``a.seg.nrrd`` and ``a.nii.gz`` belong together), and maps of
    probabilities and uncertainty that ``kdseg segment`` wrote beside label maps are passed over.

    Raises
    ------
    UsageError : one is not there, a file and a folder, two files of one name, or no pair.
    """
    for path in (predictions, references):
        if not path.exists():
            raise UsageError(f"{path} does not exist.", "Check the path.")
    if predictions.is_dir() != references.is_dir():
        raise UsageError(
            f"{predictions} and {references} are a file and a folder.",
            "Give two files or two folders.",
        )
    if predictions.is_file():
        return Pairs({_name(references): (predictions, references)}, (), ())
    predicted, referred = _by_name(predictions), _by_name(references)
    matched = {name: (predicted[name], referred[name]) for name in predicted if name in referred}
    if not matched:
        raise UsageError(
            f"No file in {predictions} has the name of one in {references}.",
            "Name predictions after their references.",
        )
    return Pairs(
        matched,
        tuple(path for name, path in referred.items() if name not in matched),
        tuple(path for name, path in predicted.items() if name not in matched),
    )


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in images_in(folder):
        if path.name.endswith((PROBABILITIES, UNCERTAINTY, DEVIATION)):
            continue
        other = found.setdefault(_name(path), path)
        if other is not path:
            raise UsageError(
                f"{other} and {path.name} are of one name.", "Keep one of them in the folder."
            )
    return found


def _name(path: Path) -> str:
    return stem_of(path).removesuffix(".seg")
