"""A model with networks in 8-bit integers beside its own, where real cases show that they agree."""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import NO_SUM, Member, Reduced, StoredFile
from KDSegmentationLogic.bundles.writing import update_bundle
from KDSegmentationLogic.dependencies import require
from KDSegmentationLogic.errors import KDSegError, UsageError
from KDSegmentationLogic.inference.cores import available_cores
from KDSegmentationLogic.inference.engines.facts import facts_of_member
from KDSegmentationLogic.inference.engines.reduced import PACKAGES, quantise
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.inference.predict import pad_to_multiple
from KDSegmentationLogic.inference.preprocess import preprocess
from KDSegmentationLogic.progress import Monitor

if TYPE_CHECKING:
    from KDSegmentationLogic.commands.inputs import Case

_EVERY = 3  # one case of these calibrates, the others check
_FEWEST = 4


class AgreementError(KDSegError):
    """Reduced precision changes too much, or saves no time."""


def reduce_bundle(
    bundle: Bundle, cases: Sequence[Case], data: str, bound: float, target: Path, monitor: Monitor
) -> Reduced:
    """Write ``target``: the bundle with networks of 8-bit integers and what their check found.

    Every third case calibrates them. On the others labels of both precisions are compared, and
    their times in turns, with OpenVINO on all cores.

    Parameters
    ----------
    data : name of the cases' data set.
    bound : least mean Dice between both precisions' labels, of each structure.

    Raises
    ------
    AgreementError : a structure's mean Dice is below the bound, or nothing is gained in time;
        nothing is written then.
    UsageError : fewer than four cases, or a network that works on slices.
    DependencyError : a package that this needs is missing.
    """
    require(*PACKAGES)
    if len(cases) < _FEWEST:
        raise UsageError(
            f"{len(cases)} cases are too few.", f"Give {_FEWEST} or more with --cases."
        )
    members = bundle.description.members
    if any(member.dimensions == 2 for member in members):
        raise UsageError(f"{bundle.name} works on slices.", "Only 3-D networks are reduced.")
    calibrating = cases[::_EVERY]
    checking = [case for n, case in enumerate(cases) if n % _EVERY]
    with tempfile.TemporaryDirectory() as name:
        files = {f"models/{Path(m.weights).stem}.int8.onnx": m for m in members}
        written = {path: Path(name) / Path(path).name for path in files}
        for path, member in files.items():
            monitor.report(0.0, f"calibrating {Path(path).name}")
            quantise(bundle, member, _batches(bundle, member, calibrating), written[path])
        unchecked = Reduced(
            "int8", StoredFile("models/int8.onnx", NO_SUM), 1.0, {"": 1.0}, {}, data, 1, 1, 1, ""
        )
        trial = _with(bundle, list(files), unchecked, written, Path(name) / bundle.name)
        found = _check(trial, checking, monitor.part(0.3, 1.0), unchecked, bound)
        _with(bundle, list(files), found, written, target)
    return found


def _batches(bundle: Bundle, member: Member, cases: Sequence[Case]) -> list[np.ndarray]:
    """The middle of each prepared image, no larger than the network's patch."""
    described, divisor = bundle.description, facts_of_member(member).divisor
    batches = []
    for case in cases:
        array = preprocess(case.read(), described.channels, described.grid).array
        for axis, size in enumerate(member.patch, start=1):
            first = max(0, (array.shape[axis] - size) // 2)
            array = array.take(range(first, min(first + size, array.shape[axis])), axis)
        batches.append(pad_to_multiple(array, divisor)[np.newaxis])
    return batches


def _with(
    bundle: Bundle, paths: list[str], found: Reduced, written: dict[str, Path], target: Path
) -> Bundle:
    members = tuple(
        replace(
            member,
            footprint=facts_of_member(member).footprint,
            reduced=replace(found, file=StoredFile(path, NO_SUM)),
        )
        for member, path in zip(bundle.description.members, paths, strict=True)
    )
    described = replace(bundle.description, members=members)
    return update_bundle(bundle, described, written, target)


def _check(
    bundle: Bundle, cases: Sequence[Case], monitor: Monitor, empty: Reduced, bound: float
) -> Reduced:
    full = Predictor(bundle, Settings("cpu", "openvino"))
    reduced = Predictor(bundle, Settings("cpu", "openvino", precision="reduced"))
    dice: dict[str, list[float]] = {label.name: [] for label in bundle.description.labels}
    seconds: dict[Predictor, list[float]] = {full: [], reduced: []}
    for n, case in enumerate(cases):
        monitor.report(n / len(cases), f"checking {case.name}")
        images, labels = case.read(), {}
        for predictor in (full, reduced) * 2:  # of two times the second counts
            start = time.perf_counter()
            labels[predictor] = predictor.segment(images).labels
            elapsed = time.perf_counter() - start
            seconds[predictor][n:] = [elapsed]
        a, b = (sitk.GetArrayViewFromImage(labels[p]) for p in (full, reduced))
        for label in bundle.description.labels:
            dice[label.name] += _dice(a == label.value, b == label.value)
    found = {name: float(np.mean(values)) for name, values in dice.items() if values}
    medians = [statistics.median(seconds[p]) for p in (full, reduced)]
    _judge(found, medians, bound)
    return replace(
        empty,
        bound=bound,
        agreement=found,
        least={name: min(values) for name, values in dice.items() if values},
        cases=len(cases),
        seconds_full=medians[0],
        seconds=medians[1],
        hardware=f"{platform.machine()}, {available_cores()} cores",
    )


def _dice(first: np.ndarray, second: np.ndarray) -> list[float]:
    """One Dice; none where the structure is in neither."""
    total = int(first.sum()) + int(second.sum())
    return [2 * int((first & second).sum()) / total] if total else []


def _judge(agreement: dict[str, float], medians: list[float], bound: float) -> None:
    full, reduced = medians
    if not agreement:
        raise AgreementError(
            "Neither precision found any structure in these cases.", "Give cases that show some."
        )
    worst = min(agreement, key=agreement.__getitem__)
    if agreement[worst] < bound:
        raise AgreementError(
            f"In 8-bit integers {worst} agrees with float32 by a mean Dice of"
            f" {agreement[worst]:.4f} only, and {bound:g} is asked for.",
            "Keep the model as it is.",
        )
    if reduced >= full:
        raise AgreementError(
            f"8-bit integers take {reduced:.3f} s a case on this machine, float32 {full:.3f} s.",
            "Keep the model as it is.",
        )
