"""What the bundles and their members reach on held-back cases, through the product's own path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Measurement
from KDSegmentationLogic.bundles.writing import update_bundle
from KDSegmentationLogic.child import in_child
from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.evaluation.structures import StructureResult, compare_labels
from KDSegmentationLogic.evaluation.table import summarise, write_csv
from KDSegmentationLogic.files import write_text
from KDSegmentationLogic.imaging.reading import read_channels, read_labels
from KDSegmentationLogic.inference.peak import PeakMemory
from KDSegmentationLogic.inference.pipeline import Predictor
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.definition import Study
from KDSegmentationLogic.training.dataset import CaseFiles, Dataset

Results = dict[str, list[StructureResult]]


@dataclass(frozen=True)
class ArmResult:
    """One model over the cases of a split. ``dice`` and ``hd95`` (mm): mean per structure.

    ``hd95`` lacks a structure that the model missed in every case. ``seconds_per_case``: median,
    from the image in memory to the label map. ``peak_memory_gib``: of a process that segments
    the split's first case, with Python and its libraries; bundles only.
    """

    arm: str
    cases: int
    mean_dice: float
    dice: dict[str, float]
    hd95: dict[str, float]
    seconds_per_case: float
    peak_memory_gib: float | None = None


def assess(
    study: Study,
    dataset: Dataset,
    folder: RunFolder,
    bundles: Sequence[Bundle],
    split: str,
    monitor: Monitor,
) -> list[ArmResult]:
    """Every bundle and every ensemble member on one split; written once, then read back.

    Writes ``<split>.json``, ``<split>.md`` and, per model, ``<split>-<model>.csv`` with each
    case and structure.
    """
    target = folder.report(f"{split}.json")
    if target.is_file():
        return [ArmResult(**row) for row in json.loads(target.read_text("utf-8"))]
    models = [*bundles, *(single for bundle in bundles for single in _members(bundle))]
    results = []
    for number, bundle in enumerate(models):
        part = monitor.part(number / len(models), (number + 1) / len(models))
        found, seconds = _predict_cases(study, bundle, dataset.split(split), part)
        write_csv(target.with_name(f"{split}-{bundle.name}.csv"), found)
        summary = _summary(bundle.name, found, seconds)
        if bundle in bundles:
            peak = in_child(_peak_memory, (bundle, dataset.split(split)[0]), Monitor())
            summary = replace(summary, peak_memory_gib=round(peak, 2))
        results.append(summary)
    write_text(target.with_suffix(".md"), _markdown(results))
    write_text(target, json.dumps([asdict(result) for result in results], indent=1))
    return results


def note_measured(
    bundles: Sequence[Bundle], results: Sequence[ArmResult], data: str, hardware: str
) -> None:
    """Put what was measured into the bundles' descriptions."""
    by_name = {result.arm: result for result in results}
    for bundle in bundles:
        result = by_name[bundle.name]
        measured = Measurement(
            data=data,
            cases=result.cases,
            dice={name: round(value, 4) for name, value in result.dice.items()},
            hd95_mm={name: round(value, 3) for name, value in result.hd95.items()},
            seconds_per_case=round(result.seconds_per_case, 3),
            peak_memory_gib=result.peak_memory_gib,
            hardware=hardware,
        )
        if bundle.description.measured != (measured,):
            update_bundle(bundle, replace(bundle.description, measured=(measured,)))


def _markdown(results: Sequence[ArmResult]) -> str:
    """A table with a row a model."""
    names = list(results[0].dice)
    head = ["model", "mean Dice", *(f"Dice {n}" for n in names), *(f"HD95 {n} (mm)" for n in names)]
    lines = ["| " + " | ".join([*head, "s a case", "GiB"]) + " |", "|" + "---|" * (len(head) + 2)]
    for r in results:
        cells = [r.arm, f"{r.mean_dice:.4f}", *(f"{r.dice[n]:.4f}" for n in names)]
        cells += [f"{r.hd95[n]:.2f}" if n in r.hd95 else "–" for n in names]
        cells.append(f"{r.seconds_per_case:.2f}")
        cells.append("–" if r.peak_memory_gib is None else f"{r.peak_memory_gib:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _members(bundle: Bundle) -> list[Bundle]:
    """Each member of an ensemble as a bundle of its own, in the same folder."""
    members = bundle.description.members
    if len(members) == 1:
        return []
    return [
        Bundle(
            bundle.folder,
            Path(member.weights).stem,
            replace(bundle.description, kind="network", members=(member,), relative=None),
        )
        for member in members
    ]


def _predict_cases(
    study: Study, bundle: Bundle, cases: Sequence[CaseFiles], monitor: Monitor
) -> tuple[Results, list[float]]:
    predictor = Predictor(bundle)
    names = {label.value: label.name for label in study.labels}
    results: Results = {}
    seconds = []
    for number, case in enumerate(cases, 1):
        if case.labels is None:
            raise DatasetError(f"The case {case.name} has no labels.", "Take it off the list.")
        outcome = predictor.segment(read_channels(case.images, monitor))
        seconds.append(sum(outcome.seconds.values()))
        reference = read_labels(case.labels)
        results[case.name] = compare_labels(outcome.labels, reference, names, case=case.name)
        monitor.report(number / len(cases), f"{bundle.name}: {case.name}")
    return results, seconds


def _peak_memory(work: tuple[Bundle, CaseFiles], monitor: Monitor) -> float:
    """GiB at the peak of loading a bundle and segmenting one case; for a process of its own."""
    bundle, case = work
    with PeakMemory() as memory:
        Predictor(bundle).segment(read_channels(case.images, monitor))
    return memory.gib


def _summary(name: str, results: Results, seconds: Sequence[float]) -> ArmResult:
    summaries = summarise(results)
    dice = {s.name: s.metrics["dice"].mean for s in summaries}
    return ArmResult(
        arm=name,
        cases=len(results),
        mean_dice=float(np.mean(list(dice.values()))),
        dice=dice,
        hd95={s.name: s.metrics["hd95"].mean for s in summaries if s.metrics["hd95"].defined},
        seconds_per_case=float(np.median(seconds)),
    )
