"""Where the results of cases go, decided and checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from KDSegmentationLogic import __version__
from KDSegmentationLogic.bundles.description import Code, Label
from KDSegmentationLogic.commands.inputs import Case
from KDSegmentationLogic.commands.options import check_output_folder, refuse_existing
from KDSegmentationLogic.commands.segnrrd import ENDING as SEGMENTATION
from KDSegmentationLogic.commands.segnrrd import write_segmentation
from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.imaging.dicom import series_files
from KDSegmentationLogic.imaging.dicomseg import (
    Coded,
    CodedSegment,
    check_sources,
    write_dicom_seg,
)
from KDSegmentationLogic.imaging.reading import ending_of
from KDSegmentationLogic.imaging.writing import WRITERS, write_image
from KDSegmentationLogic.inference.pipeline import Result

DICOM = ".dcm"

_ENDINGS = (SEGMENTATION, *WRITERS, DICOM)

# Formats that are read but not written, or that lose label values.
_INSTEAD = {".nhdr": ".nrrd", ".mhd": ".mha", ".jpg": ".png", ".jpeg": ".png", ".bmp": ".png"}

PROBABILITIES, UNCERTAINTY, DEVIATION = (
    "_probabilities.nrrd",
    "_uncertainty.nii.gz",
    "_deviation.nrrd",
)
"""What the names of maps beside a label map end in."""


@dataclass(frozen=True)
class Target:
    """The label map's file, and those of the maps beside it where they were asked for.

    sources : the files of the series that a DICOM SEG refers to.
    """

    labels: Path
    probabilities: Path | None = None
    uncertainty: Path | None = None
    deviation: Path | None = None
    sources: tuple[Path, ...] = ()

    def files(self) -> list[Path]:
        every = (self.labels, self.probabilities, self.uncertainty, self.deviation)
        return [path for path in every if path is not None]

    def write(self, result: Result, structures: Sequence[Label], model: str) -> None:
        """Write what was asked for and is there: a single network has no deviation.

        Raises ``ImageError``.
        """
        if self.sources:
            coded = [_coded(label) for label in structures]
            write_dicom_seg(result.labels, coded, self.sources, self.labels, model, __version__)
        else:
            write_labels(result.labels, structures, self.labels)
        for image, path in (
            (result.probabilities, self.probabilities),
            (result.entropy, self.uncertainty),
            (result.deviation, self.deviation),
        ):
            if path is None:
                continue
            if image is not None:
                write_image(image, path)
            else:  # what an ensemble wrote here before would be taken for this model's
                path.unlink(missing_ok=True)


def write_labels(labels: sitk.Image, structures: Sequence[Label], path: Path) -> None:
    """Write a label map in the format that the name ends in. Raises ``ImageError``."""
    if path.name.lower().endswith(SEGMENTATION):
        write_segmentation(labels, structures, path)
    else:
        write_image(labels, path)


def _coded(label: Label) -> CodedSegment:
    def triple(code: Code) -> Coded:
        return code.scheme, code.value, code.meaning

    known = label.terminology
    if known is None:
        return CodedSegment(label.value, label.name, label.color)
    modifier = triple(known.modifier) if known.modifier else None
    codes = triple(known.category), triple(known.type), modifier
    return CodedSegment(label.value, label.name, label.color, *codes)


def plan_targets(
    cases: Sequence[Case],
    many: bool,
    output: Path,
    *,
    probabilities: bool,
    uncertainty: bool,
    overwrite: bool,
    ending: str | None = None,
) -> list[Target]:
    """A target for each case.

    Parameters
    ----------
    output : with ``many`` a folder, in which each result is named after its case; otherwise
        a file where it has the ending of one.
    ending : of the results in a folder; none: each its input's own.

    Raises
    ------
    UsageError : a file where a folder must be, an ending that is not written, two results of
        one name, results that exist (without ``overwrite``), or that would replace an input;
        DICOM SEG of what is no DICOM folder.
    ImageError : DICOM SEG: the series cannot be referred to.
    DependencyError : DICOM SEG needs highdicom.
    """
    folder = _is_folder(output, many)
    if ending and not folder:
        raise UsageError(
            f"{output} is a file, whose format is that of its name.",
            "Leave out --format, or give a folder with -o.",
        )
    check_output_folder(output if folder else output.parent)
    paths = [
        output / (case.name + (ending or _ending(case))) if folder else output for case in cases
    ]
    _refuse_collisions(cases, paths)
    targets = [
        _target(case, path, probabilities, uncertainty)
        for case, path in zip(cases, paths, strict=True)
    ]
    files = [file for target in targets for file in target.files()]
    inputs = {file.resolve() for case in cases for file in case.files}
    inputs |= {file.resolve() for target in targets for file in target.sources}
    for file in files:
        if file.resolve() in inputs:
            raise UsageError(f"{file} is an input too.", "Give another output.")
    refuse_existing(files, overwrite)
    return targets


def _is_folder(output: Path, many: bool) -> bool:
    """Whether results go into ``output``; an ending that no file can have is refused."""
    if output.is_dir():
        return True
    ending = next((e for e in _ENDINGS if output.name.lower().endswith(e)), "")
    if many and (ending or ending_of(output)):
        raise UsageError(
            f"Several inputs cannot go into the one file {output}.", "Give a folder with -o."
        )
    if ending or many:
        return many
    if output.suffix:
        raise UsageError(
            f"{output} has the ending {output.suffix}, which is not written.",
            f"Use one of {' '.join(_ENDINGS)}, or make the folder first.",
        )
    return True


def _ending(case: Case) -> str:
    first = case.files[0]
    ending = "" if first.is_dir() else ending_of(first)
    if ending in (".tif", ".tiff"):  # flat or not, NRRD holds it
        return ".nrrd"
    return _INSTEAD.get(ending, ending) or ".nii.gz"


def _refuse_collisions(cases: Sequence[Case], paths: Sequence[Path]) -> None:
    """Names that differ in case only are one file on Windows and macOS."""
    seen: dict[str, Case] = {}
    for case, path in zip(cases, paths, strict=True):
        other = seen.setdefault(str(path).casefold(), case)
        if other is not case:
            raise UsageError(
                f"The results of {other.files[0]} and {case.files[0]} would both be {path.name}.",
                "Rename one, or segment them into different folders.",
            )


def _target(case: Case, labels: Path, probabilities: bool, uncertainty: bool) -> Target:
    ending = next((e for e in _ENDINGS if labels.name.lower().endswith(e)), "")
    stem = labels.name[: len(labels.name) - len(ending)]

    def beside(name: str, wanted: bool) -> Path | None:
        return labels.with_name(stem + name) if wanted else None

    return Target(
        labels,
        beside(PROBABILITIES, probabilities),
        beside(UNCERTAINTY, uncertainty),
        beside(DEVIATION, uncertainty),
        _sources(case, labels) if ending == DICOM else (),
    )


def _sources(case: Case, output: Path) -> tuple[Path, ...]:
    """The files that a DICOM SEG of the case refers to, checked before any work."""
    folder = case.files[0]
    if not folder.is_dir():
        raise UsageError(
            f"{output} asks for DICOM SEG, which refers to a DICOM series, and {folder} is none.",
            f"Give the DICOM folder as input, or an output that ends in {SEGMENTATION}.",
        )
    files = series_files(folder, case.series)
    check_sources(files)
    return tuple(files)
