"""What the bundles and their members reach on held-back cases, through the product's own path."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Measurement
from KDSegmentationLogic.bundles.writing import update_bundle
from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.evaluation.calibration import calibration, near_structures
from KDSegmentationLogic.evaluation.confusion import confusion_matrix
from KDSegmentationLogic.evaluation.structures import StructureResult, compare_labels
from KDSegmentationLogic.evaluation.table import summarise
from KDSegmentationLogic.evaluation.uncertainty import auroc, entropy
from KDSegmentationLogic.files import write_if_new
from KDSegmentationLogic.imaging.geometry import has_physical_spacing
from KDSegmentationLogic.imaging.reading import read_labels
from KDSegmentationLogic.inference.pipeline import Predictor, Result, Settings
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.artefacts import RunFolder
from KDSegmentationLogic.studies.channels import numbers_of
from KDSegmentationLogic.studies.cost import measure_cost
from KDSegmentationLogic.studies.definition import Study
from KDSegmentationLogic.studies.protocol import Protocol
from KDSegmentationLogic.studies.results import (
    Assessed,
    CaseResult,
    Cost,
    ResultStore,
)
from KDSegmentationLogic.training.cases import read_images, require_known
from KDSegmentationLogic.training.dataset import CaseFiles, Dataset

_PROTOCOL = Protocol()


@dataclass(frozen=True)
class ArmResult:
    """One model over the cases of a split. ``dice`` and ``hd95`` (mm): mean per structure.

    ``hd95`` is over the cases in which model and reference have the structure, ``hd95_cases`` many,
    and lacks a structure where there is none. ``seconds_per_case`` and ``peak_memory_gib``: see
    ``Cost``.
    """

    arm: str
    cases: int
    mean_dice: float
    dice: dict[str, float]
    hd95: dict[str, float]
    hd95_cases: dict[str, int]
    seconds_per_case: float
    peak_memory_gib: float


def assess(
    study: Study,
    dataset: Dataset,
    folder: RunFolder,
    bundles: Sequence[Bundle],
    split: str,
    monitor: Monitor,
    protocol: Protocol = _PROTOCOL,
) -> list[ArmResult]:
    """Every bundle and every ensemble member on one split; what is measured is not done again.

    Each model's results are kept as soon as they are there (``ResultStore``); ``<split>.json``
    and ``<split>.md`` of the report sum up. That test cases are about to be seen is noted
    before the first of them is read.

    Raises
    ------
    DatasetError : a case has no labels, or one that is not known.
    """
    store, cases = ResultStore(folder.root), dataset.split(split)
    names = [case.name for case in cases]
    models = with_members(bundles)
    places = [store.folder(model, split, names, protocol) for model in models]
    missing = [m.name for m, p in zip(models, places, strict=True) if store.load(p) is None]
    if split == "test" and missing:
        store.note_opening(split, study, missing)
    results, index = [], []
    for number, (model, place) in enumerate(zip(models, places, strict=True)):
        part = monitor.part(number / len(models), (number + 1) / len(models))
        sees = numbers_of(study.channels, [c.name for c in model.description.channels])
        given = [replace(case, chosen=sees) for case in cases]
        found = store.load(place)
        if found is None:
            found = assess_model(model, given, split, store, place, protocol, part.part(0, 0.7))
            store.save(place, found)
        cost = _cost(store, model, given[: protocol.timed_cases], protocol, part.part(0.7, 1))
        results.append(_summary(found, cost))
        files = {"results": place.name, "cost": store.cost_file(model, protocol).name}
        temperature = model.description.members[0].temperature
        index.append({"arm": model.name, "temperature": temperature, **files})
    target = folder.report(f"{split}.json")
    write_if_new(target.with_suffix(".md"), _markdown(results))
    write_if_new(target, json.dumps([asdict(result) for result in results], indent=1))
    listing = {"arms": index, "protocol": asdict(protocol), "patients": dataset.groups_of(split)}
    write_if_new(folder.report(f"{split}-files.json"), json.dumps(listing, indent=1))
    return results


def assess_model(
    bundle: Bundle,
    cases: Sequence[CaseFiles],
    split: str,
    store: ResultStore,
    place: Path,
    protocol: Protocol,
    monitor: Monitor,
) -> Assessed:
    """One model on each case; its label maps are kept in ``place``."""
    predictor = Predictor(bundle, Settings(probabilities=True))
    measured, engine = [], ""
    for number, case in enumerate(cases, 1):
        if case.labels is None:
            raise DatasetError(f"The case {case.name} has no labels.", "Take it off the list.")
        outcome = predictor.segment(read_images(case, Monitor()))
        engine = f"{outcome.engine} on {outcome.device}"
        measured.append(
            measure_case(case.name, bundle, outcome, read_labels(case.labels), protocol)
        )
        store.save_labels(place, case.name, outcome.labels)
        monitor.report(number / len(cases), f"{bundle.name}: {case.name}")
    return Assessed(bundle.name, split, engine, tuple(measured))


def measure_case(
    case: str, bundle: Bundle, outcome: Result, reference: sitk.Image, protocol: Protocol
) -> CaseResult:
    """All figures of one case. ``outcome`` with its probabilities.

    Raises
    ------
    DatasetError : the reference holds a value that is no label of the model. As a structure that
        no model can find, a single such voxel would halve the mean Dice of two.
    """
    names = {label.value: label.name for label in bundle.description.labels}
    said, truth = (sitk.GetArrayViewFromImage(image) for image in (outcome.labels, reference))
    require_known(truth, names, f"The reference of {case}")
    structures = compare_structures(outcome.labels, reference, names, case, protocol)
    unit = (1.0,) * reference.GetDimension()
    spacing = reference.GetSpacing()[::-1] if has_physical_spacing(reference) else unit
    near = near_structures(truth, spacing, protocol.foreground_margin)
    assert outcome.probabilities is not None
    probabilities = sitk.GetArrayViewFromImage(outcome.probabilities)[near].T
    classes = _classes(truth[near], list(names))
    found = calibration(probabilities, classes, protocol.bins)
    doubt = entropy(probabilities)
    confusion: tuple[tuple[int, ...], ...] = ()
    if protocol.pixels:
        found_classes, true_classes = (_classes(each, list(names)) for each in (said, truth))
        matrix = confusion_matrix(found_classes, true_classes, len(names) + 1)
        confusion = tuple(tuple(row) for row in matrix.tolist())
    return CaseResult(
        case=case,
        structures=tuple(structures),
        nll=found.nll,
        brier=found.brier,
        reliability=found.reliability,
        entropy=float(doubt.mean()) if doubt.size else float("nan"),
        error_auroc=auroc(doubt, probabilities.argmax(0) != classes),
        confusion=confusion,
    )


def compare_structures(
    said: sitk.Image,
    reference: sitk.Image,
    names: Mapping[int, str],
    case: str,
    protocol: Protocol,
) -> list[StructureResult]:
    """Label by label, or region by region where the protocol has some.

    names : of the labels' values. A region's value is its number, from 1.
    """
    tolerance = protocol.surface_tolerance
    if not protocol.regions:
        return compare_labels(said, reference, names, case=case, tolerance=tolerance)
    found = []
    for number, region in enumerate(protocol.regions, 1):
        ours, true = (_union(image, region.labels, number) for image in (said, reference))
        named = {number: region.name}
        found += compare_labels(ours, true, named, case=case, tolerance=tolerance)
    return found


def _union(labels: sitk.Image, values: Sequence[int], number: int) -> sitk.Image:
    """A label map in which voxels of these values have the number, all others 0."""
    inside = np.isin(sitk.GetArrayViewFromImage(labels), values)
    union = sitk.GetImageFromArray(inside.astype(np.uint8) * number)
    union.CopyInformation(labels)
    return union


def with_members(bundles: Sequence[Bundle]) -> list[Bundle]:
    """The bundles, then each ensemble's members as bundles of their own, none of them twice."""
    models = list(bundles)
    known = {bundle.name for bundle in bundles}
    for bundle in bundles:
        for single in _members(bundle):
            if single.name not in known:
                known.add(single.name)
                models.append(single)
    return models


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
            peak_memory_gib=round(result.peak_memory_gib, 2),
            hardware=hardware,
        )
        if bundle.description.measured != (measured,):
            update_bundle(bundle, replace(bundle.description, measured=(measured,)))


def _cost(
    store: ResultStore,
    model: Bundle,
    cases: Sequence[CaseFiles],
    protocol: Protocol,
    monitor: Monitor,
) -> Cost:
    file = store.cost_file(model, protocol)
    cost = store.load_cost(file)
    if cost is None:
        cost = measure_cost(model, cases, monitor)
        store.save_cost(file, cost)
    return cost


def _classes(labels: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Class indices of label values."""
    lookup = np.zeros(max(values) + 1, np.intp)
    lookup[list(values)] = np.arange(1, len(values) + 1)
    return lookup[labels.astype(np.intp)]


def _markdown(results: Sequence[ArmResult]) -> str:
    """A table with a row a model; a distance over fewer cases than all says over how many."""
    names = list(results[0].dice)
    head = ["model", "mean Dice", *(f"Dice {n}" for n in names), *(f"HD95 {n} (mm)" for n in names)]
    lines = ["| " + " | ".join([*head, "s a case", "GiB"]) + " |", "|" + "---|" * (len(head) + 2)]
    for r in results:
        cells = [r.arm, f"{r.mean_dice:.4f}", *(f"{r.dice[n]:.4f}" for n in names)]
        cells += [_distance(r, name) for name in names]
        cells += [f"{r.seconds_per_case:.2f}", f"{r.peak_memory_gib:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _distance(result: ArmResult, name: str) -> str:
    if name not in result.hd95:
        return "–"
    cases = result.hd95_cases[name]
    over = f" (n = {cases})" if cases < result.cases else ""
    return f"{result.hd95[name]:.2f}{over}"


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


def _summary(found: Assessed, cost: Cost) -> ArmResult:
    summaries = summarise({case.case: case.structures for case in found.cases})
    dice = {s.name: s.metrics["dice"].mean for s in summaries}
    return ArmResult(
        arm=found.arm,
        cases=len(found.cases),
        mean_dice=float(np.mean(list(dice.values()))),
        dice=dice,
        hd95={s.name: s.metrics["hd95"].mean for s in summaries if s.metrics["hd95"].defined},
        hd95_cases={s.name: s.metrics["hd95"].defined for s in summaries},
        seconds_per_case=cost.seconds,
        peak_memory_gib=cost.peak_memory_gib,
    )
