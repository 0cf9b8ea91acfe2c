"""``kdseg segment`` on many cases: what is done already, where the rest runs, how each ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from KDSegmentationLogic import __version__
from KDSegmentationLogic.bundles.bundle import METADATA, Bundle
from KDSegmentationLogic.bundles.description import Label
from KDSegmentationLogic.commands.inputs import Case
from KDSegmentationLogic.commands.outputs import Target
from KDSegmentationLogic.commands.union import segment_regions
from KDSegmentationLogic.errors import OutOfMemoryError
from KDSegmentationLogic.evaluation.agreement import volumes_of
from KDSegmentationLogic.files import sha256_of
from KDSegmentationLogic.inference.cohort import Outcome, run_items, run_one
from KDSegmentationLogic.inference.cohort_manifest import Manifest, Recipe, stamps_of
from KDSegmentationLogic.inference.cohort_processes import Lane, run_in_processes
from KDSegmentationLogic.inference.pipeline import Predictor, Result, Settings
from KDSegmentationLogic.inference.region import Region
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.scheduling import Task, on_cluster, was_killed


@dataclass(frozen=True)
class Piece:
    """One case with all that a process needs to do it (see ``inference.cohort.Item``)."""

    case: Case
    target: Target
    regions: tuple[Region, ...]
    structures: tuple[Label, ...]
    model: str

    @property
    def name(self) -> str:
        return self.case.name

    def absolute(self) -> Piece:
        """With absolute paths."""
        case = replace(self.case, files=tuple(file.absolute() for file in self.case.files))
        names = ("labels", "probabilities", "uncertainty", "deviation")
        paths = {name: getattr(self.target, name) for name in names}
        target = replace(
            self.target, **{name: path and path.absolute() for name, path in paths.items()}
        )
        return replace(self, case=case, target=target)

    def size_in_memory(self) -> int:
        return sum(_voxel_bytes(file) for file in self.case.files)

    def read(self, monitor: Monitor) -> list[sitk.Image]:
        return self.case.read(monitor)

    def segment(
        self, predictor: Predictor, images: Sequence[sitk.Image], monitor: Monitor
    ) -> Result:
        return segment_regions(predictor, images, self.regions, monitor)

    def write(self, result: Result) -> dict[str, Any]:
        """Write the files, and tell of the case what ``--json`` prints."""
        self.target.write(result, self.structures, self.model)
        names = {label.value: label.name for label in self.structures}
        volumes, unit = volumes_of(result.labels, names)
        target = self.target
        return {
            "name": self.case.name,
            "inputs": [str(file) for file in self.case.files],
            "labels": str(target.labels),
            "probabilities": _text(target.probabilities),
            "uncertainty": _text(target.uncertainty),
            "deviation": _text(target.deviation if result.deviation is not None else None),
            "device": result.device,
            "engine": result.engine,
            "seconds": result.seconds,
            "volumes": volumes,
            "volume_unit": unit,
            "notices": result.notices,
        }


@dataclass(frozen=True)
class Place:
    """Where a cohort runs: here, in these processes, or on the cluster of this scheduler."""

    lanes: Sequence[Lane] = ()
    scheduler: str | None = None


class Cohort:
    """The cases of one folder of results.

    Parameters
    ----------
    anew : make also what is finished, and replace whatever is there.

    Raises
    ------
    UsageError : a file is in the way that is not this cohort's own, or that was edited.
    """

    def __init__(
        self, bundle: Bundle, settings: Settings, pieces: Sequence[Piece], anew: bool
    ) -> None:
        self._bundle = bundle
        self._settings = settings
        self._pieces = pieces
        self._manifest = Manifest(pieces[0].target.labels.parent)
        model = sha256_of(bundle.folder / METADATA)  # which holds the weights' own
        self._recipes = [_recipe(model, bundle.name, settings, piece) for piece in pieces]
        self.done: dict[int, dict[str, Any]] = {}
        self.failed: dict[int, Exception] = {}
        if not anew:
            self._find_finished()
            self._manifest.check_replaceable(
                file for n in self._left() for file in pieces[n].target.files()
            )

    def run(self, place: Place, monitor: Monitor) -> None:
        """Do what is left; ``done`` and ``failed`` hold each case's end, by its number."""
        left = self._left()
        skipped = len(self._pieces) - len(left)
        if skipped:
            monitor.notice(
                f"{skipped} of {len(self._pieces)} cases were finished before and are skipped."
            )
        if not left:
            return
        self._manifest.begin((self._pieces[n].target.files(), self._recipes[n]) for n in left)
        items = [(n, self._pieces[n]) for n in left]

        def tell(outcome: Outcome) -> None:
            self._note(outcome, monitor)
            ended = len(self.done) - skipped + len(self.failed)
            elsewhere = place.lanes or place.scheduler is not None
            if elsewhere and not monitor.cancel.cancelled:
                monitor.report(ended / len(left), self._pieces[outcome.number].name)

        if place.scheduler is not None:
            self._on_cluster(place.scheduler, items, monitor, tell)
        elif place.lanes:
            run_in_processes(self._bundle.folder, place.lanes, items, monitor, tell)
        else:
            predictor = Predictor(self._bundle, self._settings, monitor)
            run_items(predictor, items, monitor, tell, len(items))

    def _left(self) -> list[int]:
        return [n for n in range(len(self._pieces)) if n not in self.done]

    def _find_finished(self) -> None:
        for n, (piece, recipe) in enumerate(zip(self._pieces, self._recipes, strict=True)):
            told = self._manifest.finished(piece.target.files(), recipe)
            if told is not None:
                self.done[n] = {**told, "labels": str(piece.target.labels), "skipped": True}

    def _note(self, outcome: Outcome, monitor: Monitor) -> None:
        piece = self._pieces[outcome.number]
        if outcome.record is None:
            assert outcome.error is not None
            self.failed[outcome.number] = outcome.error
            return
        self.done[outcome.number] = {**outcome.record, "skipped": False}
        try:
            self._manifest.finish(piece.target.files(), outcome.record)
        except OSError as error:
            monitor.notice(
                f"{self._manifest.path} cannot be written ({error.strerror}); a further run will"
                f" make {piece.name} again."
            )

    def _on_cluster(
        self, address: str, items: Sequence[tuple[int, Piece]], monitor: Monitor, tell: Any
    ) -> None:
        folder = self._bundle.folder
        numbers = {str(piece.target.labels): number for number, piece in items}
        tasks = [
            Task(str(piece.target.labels), run_one, (folder, self._settings, piece))
            for _, piece in items
        ]
        for task, future in on_cluster(address, tasks, monitor):
            error = future.exception()
            record = future.result() if error is None else None
            tell(Outcome(numbers[task.name], record, _of_cluster(error)))


def _of_cluster(error: BaseException | None) -> Exception | None:
    if error is not None and was_killed(error):
        return OutOfMemoryError(
            "The workers that segmented it ended without an answer, killed or out of memory.",
            "Give the workers more memory, or segment this case by itself.",
        )
    return error if error is None or isinstance(error, Exception) else RuntimeError(str(error))


def _recipe(model: str, name: str, settings: Settings, piece: Piece) -> Recipe:
    """All that a result depends on; not the device, the threads or the memory."""
    return {
        "model": name,
        "model_sha256": model,
        "version": __version__,
        "engine": settings.engine,
        "precision": settings.precision,
        "regions": [repr(region) for region in piece.regions],
        "maps": [settings.probabilities, settings.uncertainty],
        "series": piece.case.series,
        "inputs": [stamp for file in piece.case.files for stamp in stamps_of(file)],
    }


def _voxel_bytes(file: Path) -> int:
    """From the header; of a DICOM folder, the size of its files."""
    try:
        if file.is_dir():
            return sum(inside.stat().st_size for inside in file.iterdir())
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(file))
        reader.ReadImageInformation()
    except (OSError, RuntimeError):
        return 0
    voxels = 1
    for length in reader.GetSize():
        voxels *= length
    return voxels * reader.GetNumberOfComponents() * 8  # at most a double each


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
