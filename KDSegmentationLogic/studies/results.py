"""What was measured of one model, case by case, and the files that keep it.

    results/<split>-<arm>-<hash>/result.json     every figure of every case
                                 cases.csv       a row a case and structure
                                 labels/*.nrrd   what the model said
    results/cost-<arm>-<hash>.json
    results/openings.json                        when the test cases were opened

The hash is of all that the figures depend on: weights, grid, labels, cases, protocol. So a
model is measured once, and an arm that is added later leaves the others' results as they are.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.decoding import encode
from KDSegmentationLogic.evaluation.calibration import Reliability
from KDSegmentationLogic.evaluation.structures import StructureResult
from KDSegmentationLogic.evaluation.table import write_csv
from KDSegmentationLogic.files import write_text
from KDSegmentationLogic.imaging.reading import read_labels
from KDSegmentationLogic.imaging.writing import write_image
from KDSegmentationLogic.studies.damage import damaged, read_json
from KDSegmentationLogic.studies.protocol import Protocol

T = TypeVar("T")

_VERSION = 3  # of how things are measured; another one measures all anew


@dataclass(frozen=True)
class CaseResult:
    """One model on one case.

    nll, brier, reliability : near the reference's structures (``evaluation.calibration``); nan
        and no voxels where it has none, as are the next two.
    entropy : mean there, 0 to 1.
    error_auroc : how well the entropy tells wrong voxels there from right ones.
    confusion : of all its pixels (``evaluation.confusion``), where the protocol asks for it.
    """

    case: str
    structures: tuple[StructureResult, ...]
    nll: float
    brier: float
    reliability: Reliability
    entropy: float
    error_auroc: float
    confusion: tuple[tuple[int, ...], ...] = ()

    @property
    def dice(self) -> float:
        """Mean over the structures."""
        return self.mean("dice")

    def mean(self, metric: str) -> float:
        """Mean of a metric over the structures where it is defined; nan where nowhere."""
        values = [getattr(structure, metric) for structure in self.structures]
        defined = [value for value in values if not math.isnan(value)]
        return float(np.mean(defined)) if defined else math.nan


@dataclass(frozen=True)
class Assessed:
    """One model on all cases of a split. ``engine``: what ran it, and where."""

    arm: str
    split: str
    engine: str
    cases: tuple[CaseResult, ...]

    def values(self, of: Callable[[CaseResult], T]) -> dict[str, T]:
        """A figure, or several, of each case."""
        return {case.case: of(case) for case in self.cases}


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    macs : multiply-accumulates of the networks for the case ``timed_on``, all windows and
        views; the way there and back not counted.
    file_bytes : of its weights as the bundle ships them.
    seconds, network_seconds : a case, from the image in memory to the label map, and the
        networks' part of it; as cpu_seconds medians over ``cases`` cases after a first that does
        not count.
    peak_memory_gib : resident memory of a process that loads it and segments one case, with
        Python and its libraries.
    cpu_seconds : of all cores a case; unlike the others hardly longer on a busy machine.
    load : how many processes wanted a core when the timing began (1 minute's mean); more than
        ``threads`` free cores makes the seconds too long.
    """

    parameters: int
    macs: float
    file_bytes: int
    seconds: float
    network_seconds: float
    cpu_seconds: float
    cases: int
    timed_on: str
    peak_memory_gib: float
    threads: int
    cores: int
    device: str
    engine: str
    load: float


@dataclass(frozen=True)
class Opening:
    """The test cases of a study were looked at: when, of which study, by which models."""

    split: str
    study: str
    at: str
    arms: tuple[str, ...]


@dataclass(frozen=True)
class ResultStore:
    """The results of a run's folder ``root``."""

    root: Path

    def folder(self, bundle: Bundle, split: str, cases: Sequence[str], how: Protocol) -> Path:
        measured_by: list[Any] = [how.surface_tolerance, how.foreground_margin, how.bins]
        if how.pixels:
            measured_by.append("pixels")
        if how.regions:
            measured_by.append(list(how.regions))
        key = _hash([_VERSION, _measured_part(bundle), split, list(cases), measured_by])
        return self.root / "results" / f"{split}-{bundle.name}-{key}"

    def cost_file(self, bundle: Bundle, how: Protocol) -> Path:
        figures = [field.name for field in fields(Cost)]
        key = _hash([figures, _measured_part(bundle), how.timed_cases])
        return self.root / "results" / f"cost-{bundle.name}-{key}.json"

    def load(self, folder: Path) -> Assessed | None:
        """None where it was not measured to its end. Raises ``TrainingError`` if damaged."""
        content = _read(folder / "result.json")
        return None if content is None else _assessed(content, folder)

    def save(self, folder: Path, found: Assessed) -> None:
        write_csv(folder / "cases.csv", {case.case: case.structures for case in found.cases})
        _write(folder / "result.json", asdict(found))

    def labels(self, folder: Path, case: str) -> sitk.Image:
        """What the model said of a case."""
        return read_labels(folder / "labels" / f"{case}.nrrd")

    def save_labels(self, folder: Path, case: str, labels: sitk.Image) -> None:
        write_image(labels, folder / "labels" / f"{case}.nrrd")

    def load_cost(self, file: Path) -> Cost | None:
        content = _read(file)
        try:
            return None if content is None else Cost(**content)
        except TypeError as error:
            raise damaged(file, error) from error

    def save_cost(self, file: Path, cost: Cost) -> None:
        _write(file, asdict(cost))

    def openings(self) -> list[Opening]:
        """Oldest first."""
        entries = _read(self.root / "results" / "openings.json") or []
        return [Opening(**{**entry, "arms": tuple(entry["arms"])}) for entry in entries]

    def note_opening(self, split: str, study: Any, arms: Sequence[str]) -> None:
        """Write down, before it is done, that models are about to see a split's cases."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        entries = [*self.openings(), Opening(split, _hash(study), now, tuple(arms))]
        _write(self.root / "results" / "openings.json", [asdict(entry) for entry in entries])


def _measured_part(bundle: Bundle) -> list[Any]:
    """What of a bundle its results depend on."""
    d = bundle.description
    return [d.channels, d.grid, d.members, d.labels, d.field_of_view]


def _assessed(content: Any, folder: Path) -> Assessed:
    try:
        cases = tuple(_case(entry) for entry in content["cases"])
        return Assessed(content["arm"], content["split"], content["engine"], cases)
    except (KeyError, TypeError) as error:
        raise damaged(folder / "result.json", error) from error


def _case(entry: dict[str, Any]) -> CaseResult:
    bins = {key: tuple(values) for key, values in entry["reliability"].items()}
    structures = tuple(_structure(structure) for structure in entry["structures"])
    figures = {
        key: math.nan if entry[key] is None else entry[key]
        for key in ("nll", "brier", "entropy", "error_auroc")
    }
    return CaseResult(
        case=entry["case"],
        structures=structures,
        reliability=Reliability(**bins),
        confusion=tuple(tuple(row) for row in entry.get("confusion", ())),
        **figures,
    )


def _structure(entry: dict[str, Any]) -> StructureResult:
    values: dict[str, Any] = {k: math.nan if v is None else v for k, v in entry.items()}
    return StructureResult(**values)


def _write(path: Path, content: Any) -> None:
    write_text(path, json.dumps(_without_nan(content), indent=1, allow_nan=False) + "\n")


def _read(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _hash(made_of: Any) -> str:
    text = json.dumps(encode(made_of, omit_defaults=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
