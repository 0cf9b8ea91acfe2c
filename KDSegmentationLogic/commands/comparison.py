"""Two models on one case, each in a process of its own, and what came out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.child import in_child
from KDSegmentationLogic.commands.inputs import Case
from KDSegmentationLogic.commands.outputs import UNCERTAINTY, Target
from KDSegmentationLogic.commands.union import segment_regions
from KDSegmentationLogic.errors import ImageError, UsageError
from KDSegmentationLogic.evaluation.agreement import Agreement, agreement, renumber
from KDSegmentationLogic.evaluation.structures import StructureResult, compare_labels
from KDSegmentationLogic.imaging.geometry import same_grid
from KDSegmentationLogic.imaging.reading import read_labels
from KDSegmentationLogic.imaging.writing import write_image
from KDSegmentationLogic.inference.peak import GIB, PeakMemory
from KDSegmentationLogic.inference.pipeline import Predictor, Result, Settings
from KDSegmentationLogic.inference.region import Region
from KDSegmentationLogic.progress import Monitor

DISAGREEMENT = "disagreement.nii.gz"


@dataclass(frozen=True)
class Run:
    """What one model is asked to do."""

    model: Path
    case: Case
    regions: tuple[Region, ...]
    settings: Settings


@dataclass(frozen=True)
class Measured:
    """A model's result, and its costs in a process that did nothing else.

    seconds : from the images in memory to the label map, with the uncertainty map.
    loading_seconds : the model from its files, and torch itself.
    peak_memory_gib : highest resident memory of the process, Python and libraries included.
    peak_gpu_gib : highest memory that torch allocated on the GPU, where one was used.
    """

    result: Result
    seconds: float
    loading_seconds: float
    peak_memory_gib: float
    peak_gpu_gib: float | None


@dataclass(frozen=True)
class Side:
    """One model's part of a comparison; ``accuracy`` is empty without a reference."""

    bundle: Bundle
    measured: Measured
    accuracy: tuple[StructureResult, ...]

    @property
    def names(self) -> dict[int, str]:
        return names_of(self.bundle)

    @property
    def dice(self) -> dict[str, float]:
        """Against the reference, by structure."""
        return {structure.name: structure.dice for structure in self.accuracy}


@dataclass(frozen=True)
class Comparison:
    """Two models on one case; ``first`` is usually the student."""

    case: Case
    first: Side
    second: Side
    agreement: Agreement

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.first, self.second


def names_of(bundle: Bundle) -> dict[int, str]:
    """The structures' names by label value."""
    return {label.value: label.name for label in bundle.description.labels}


def check_pair(bundles: Sequence[Bundle]) -> tuple[Bundle, Bundle]:
    """Refuse what cannot be compared before anything is run. Raises ``UsageError``."""
    if len(bundles) != 2:
        raise UsageError(f"{len(bundles)} models were given.", "Give two: -m STUDENT -m ENSEMBLE.")
    first, second = bundles
    if first.name == second.name:
        raise UsageError(
            f"Both models are called {first.name}, and so would be their results.",
            "Rename the folder of one.",
        )
    channels = [[c.name for c in b.description.channels] for b in (first, second)]
    if channels[0] != channels[1]:
        raise UsageError(
            f"{first.name} takes the channels {', '.join(channels[0])}, and {second.name}"
            f" {', '.join(channels[1])}.",
            "Choose models of the same input.",
        )
    return first, second


def compare_models(
    case: Case,
    bundles: tuple[Bundle, Bundle],
    regions: Sequence[Region],
    settings: Settings,
    reference: Path | None,
    monitor: Monitor,
) -> Comparison:
    """Run both models on a case and compare what they say.

    Parameters
    ----------
    reference : a label map with the first model's values, on the case's grid.

    Raises
    ------
    KDSegError : what reading, running or comparing raises.
    """
    truth = None if reference is None else _read_reference(reference, case)
    measured = [
        in_child(
            measure,
            Run(bundle.folder, case, tuple(regions), settings),
            monitor.part(0.5 * n, 0.5 * (n + 1)),
        )
        for n, bundle in enumerate(bundles)
    ]
    names = names_of(bundles[0])
    sides = []
    for bundle, found in zip(bundles, measured, strict=True):
        accuracy: list[StructureResult] = []
        if truth is not None:
            labels = renumber(found.result.labels, names_of(bundle), names)
            accuracy = compare_labels(labels, truth, names, case=case.name)
        sides.append(Side(bundle, found, tuple(accuracy)))
    one, other = (found.result.labels for found in measured)
    between = agreement(one, other, names, names_of(bundles[1]))
    return Comparison(case, sides[0], sides[1], between)


def _read_reference(reference: Path, case: Case) -> sitk.Image:
    """The reference, refused before any model runs where it lies on another grid."""
    truth, image = read_labels(reference), first_image(case)
    if truth.GetDimension() != image.GetDimension() or not same_grid(truth, image):
        raise ImageError(
            f"The reference {reference} lies on another grid than {case.files[0]}.",
            "Resample it onto the image's grid with nearest-neighbour interpolation.",
        )
    return truth


def measure(run: Run, monitor: Monitor) -> Measured:
    """Load a model and segment a case, with time and memory; for a process of its own."""
    with PeakMemory() as memory:
        start = time.perf_counter()
        predictor = Predictor(load_bundle(run.model), run.settings, monitor)
        loaded = time.perf_counter()
        images = run.case.read(monitor)
        result = segment_regions(predictor, images, run.regions, monitor)
    return Measured(
        result,
        seconds=sum(result.seconds.values()),
        loading_seconds=loaded - start,
        peak_memory_gib=memory.gib,
        peak_gpu_gib=_gpu_gib(result.device),
    )


def image_files(bundles: Sequence[Bundle], folder: Path) -> list[Path]:
    """The images that ``write_images`` will write, to be checked before any work."""
    files = [file for bundle in bundles for file in _target(bundle, folder).files()]
    return [*files, folder / DISAGREEMENT]


def write_images(comparison: Comparison, folder: Path) -> None:
    """Write both label maps with their uncertainty, and where they differ."""
    for side in comparison.sides:
        target = _target(side.bundle, folder)
        target.write(side.measured.result, side.bundle.description.labels, side.bundle.name)
    write_image(comparison.agreement.disagreement, folder / DISAGREEMENT)


def first_image(case: Case) -> sitk.Image:
    """The image to show a case by."""
    return Case(case.name, case.files[:1], case.series).read()[0]


def _target(bundle: Bundle, folder: Path) -> Target:
    labels = folder / f"{bundle.name}.seg.nrrd"
    return Target(labels, uncertainty=folder / f"{bundle.name}{UNCERTAINTY}")


def _gpu_gib(device: str) -> float | None:
    if device != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated() / GIB
