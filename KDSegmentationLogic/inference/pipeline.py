"""From images and a bundle to a label map on the images' own grid.

    predictor = Predictor(find_bundle("HippocampusMR-student"))
    result = predictor.segment([read_image(path)], Point((26, -21, -17)))
    write_image(result.labels, output)

The predictor keeps its networks: the second image costs no loading.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.dependencies import SEGMENTING, require
from KDSegmentationLogic.errors import DeviceError
from KDSegmentationLogic.imaging.geometry import MODALITY_KEY
from KDSegmentationLogic.inference.body import body_block
from KDSegmentationLogic.inference.case import Case
from KDSegmentationLogic.inference.cores import available_cores
from KDSegmentationLogic.inference.engines.base import EngineMemoryError
from KDSegmentationLogic.inference.engines.head import has_second_head
from KDSegmentationLogic.inference.engines.reduced import as_reduced
from KDSegmentationLogic.inference.engines.registry import Choice, choose, open_engine
from KDSegmentationLogic.inference.memory import memory_checked, too_large
from KDSegmentationLogic.inference.place import Place, cut
from KDSegmentationLogic.inference.predict import (
    HALVINGS,
    Plan,
    Runner,
    gives_logits,
    plan_passes,
    predict,
    score_grid,
)
from KDSegmentationLogic.inference.preprocess import (
    Prepared,
    check_images,
    preprocess,
)
from KDSegmentationLogic.inference.region import (
    Point,
    Region,
    choose_block,
    keep_structure,
    with_context,
)
from KDSegmentationLogic.inference.restore import Planes, Restored, restore, to_source_grid
from KDSegmentationLogic.progress import Monitor

GIB = 2**30
_HELD_BY_ALLOCATORS = GIB / 8  # measured: up to 70 MiB that no estimate sees


@dataclass(frozen=True)
class Settings:
    """How to run, not what to run.

    memory_limit_gib : peak resident memory of this process; none: half of what is free. On a
        GPU it concerns the computer's memory only: of the GPU's own, most of what is free is used.
    threads : none: all cores that the process may use. Holds for the whole process, as torch
        and ITK have it.
    probabilities : also the class probabilities on the input's grid.
    uncertainty : also entropy and, of several members, the standard deviation over them; of a
        student with a second head, what it has learned of that.
    precision : ``reduced`` runs 8-bit networks, on a CPU, where the bundle carries their check on
        real cases.
    compile : torch compiles the network first. That takes a minute at the first image; where
        another engine runs it changes nothing.
    """

    device: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    memory_limit_gib: float | None = None
    probabilities: bool = False
    uncertainty: bool = False
    precision: Literal["full", "reduced"] = "full"
    compile: bool = False


@dataclass
class Result:
    """What came out, all images on the input's own grid.

    labels : uint8 (uint16 for values above 255).
    probabilities, deviation : vector images, one component a class, background first. A single
        network has no deviation, unless it has a second head.
    entropy : of the mean probabilities, 0 (certain) to 1 (all classes alike). Outside of a
        region all maps are 0.
    device, engine : where it ran, which is the CPU where the device's memory did not suffice.
    seconds : by stage: preprocess; predict, the networks' scores; restore, the way back, of which
        a part runs between the networks' windows.
    """

    labels: sitk.Image
    device: str
    engine: str
    seconds: dict[str, float]
    probabilities: sitk.Image | None = None
    deviation: sitk.Image | None = None
    entropy: sitk.Image | None = None
    notices: list[str] = field(default_factory=list)


class Predictor:
    """A bundle, loaded and ready.

    Raises
    ------
    DeviceError : the device or engine asked for is not there, or the bundle has no checked
        network of reduced precision where that is asked for.
    BundleError : the weights do not fit the architecture.
    DependencyError : a package is missing.
    """

    def __init__(
        self, bundle: Bundle, settings: Settings | None = None, monitor: Monitor | None = None
    ) -> None:
        self.bundle = bundle
        self.settings = settings or Settings()
        require(*(name for name in SEGMENTING if name != "torch"))  # that the engine needs, or not
        reduced = self.settings.precision == "reduced"
        self._run = as_reduced(bundle) if reduced else bundle
        self.choice = choose(self.settings.device, self.settings.engine, self._run)
        if reduced and self.choice.engine == "torch":
            raise DeviceError(
                f"Reduced precision does not run in torch. {self.choice}",
                "Leave it out, or choose the engine openvino or onnxruntime.",
            )
        (monitor or Monitor()).notice(str(self.choice))
        self._runners = self._open(self.choice)

    def segment(
        self,
        images: Sequence[sitk.Image] | Case,
        region: Region | None = None,
        monitor: Monitor | None = None,
    ) -> Result:
        """Segment one case.

        Parameters
        ----------
        images : one scalar image a channel of the bundle, in its order, on one grid. For several
            regions of the same images the same ``Case`` of them, which remembers.
        region : where; None for the whole image.

        Raises
        ------
        ImageError, RegionError : the input does not fit the model.
        BundleError : a network gives values that are not numbers.
        OutOfMemoryError : not even the smallest windows on the CPU fit.
        Cancelled : the monitor's token was set.
        """
        notices: list[str] = []
        monitor = _recording(monitor or Monitor(), notices)
        description = self.bundle.description
        case = images if isinstance(images, Case) else Case(images)
        check_images(case.images, description.channels, description.grid)
        self._set_threads()
        try:
            with memory_checked():
                result = self._segment(case, region, monitor)
        finally:
            _release(self._runners)
        result.notices = notices
        monitor.report(1.0, "done")
        return result

    def _segment(self, case: Case, region: Region | None, monitor: Monitor) -> Result:
        description, images = self.bundle.description, case.images
        clock = _Clock()
        self._warn_of_spacing(images[0], monitor)
        self._warn_of_modality(images, monitor)
        block = choose_block(images[0], description, region)
        seen = with_context(images[0], description, block)
        body = body_block(images[0], description) if region is None else None
        if body is not None:
            seen = block = body
        statistics = None
        if description.field_of_view.kind == "whole" and seen[1] != images[0].GetSize():
            statistics = case.statistics(description.channels, description.grid)
        prepared = preprocess(
            images if body else [cut(image, seen) for image in images],
            description.channels,
            description.grid,
            statistics,
            body,
            math.lcm(*(d for runner in self._runners for d in runner.engine.divisor)),
        )
        monitor.report(0.05, "prepared")
        clock.lap("preprocess")
        restored, runners = self._predict(prepared, monitor.part(0.05, 0.95), clock)
        _release(runners)  # before the results need memory, a third of what the layers held
        place = Place(images[0], seen, block, region)
        result = self._result(restored, prepared, cut(images[0], seen), place, monitor)
        clock.lap("restore")
        result.device, result.engine = runners[0].engine.device, runners[0].engine.name
        result.seconds = clock.seconds
        return result

    def _predict(
        self, prepared: Prepared, monitor: Monitor, clock: _Clock
    ) -> tuple[Restored, list[Runner]]:
        """Down the ladder: smaller windows, then the CPU; each step is told."""
        runners = self._runners
        while True:
            restored = self._on_one_device(runners, prepared, monitor, clock)
            if restored is not None:
                return restored, runners
            device = runners[0].engine.device
            if device == "cpu":
                raise too_large()
            monitor.notice(f"Out of memory on {device}: going on with the CPU.")
            runners = self._open(choose("cpu", self.settings.engine, self.bundle))

    def _on_one_device(
        self, runners: list[Runner], prepared: Prepared, monitor: Monitor, clock: _Clock
    ) -> Restored | None:
        """The largest windows that fit; None where not even the smallest do."""
        z, y, x = prepared.array.shape[1:]
        budget = self._budget(prepared, runners[0].engine.device)
        failed = None
        for shrink in range(HALVINGS + 2):
            passes = plan_passes(runners, (z, y, x), budget, shrink, logits=True)
            plans = [plan for member in passes for plan in member]
            windows = [plan.tiling.size for plan in plans]
            if windows == failed:  # the budget had already chosen what this step would try
                continue
            if failed:
                monitor.notice(f"Out of memory on {runners[0].engine.device}: smaller windows.")
            elif self.settings.memory_limit_gib and max(p.bytes_needed for p in plans) > budget:
                monitor.notice(
                    f"{self.settings.memory_limit_gib:g} GiB of memory are less than even the "
                    "smallest windows need; more will be used."
                )
            try:
                return self._attempt(prepared, passes, monitor, clock)
            except (EngineMemoryError, MemoryError):
                failed = windows
        return None

    def _attempt(
        self, prepared: Prepared, passes: list[list[Plan]], monitor: Monitor, clock: _Clock
    ) -> Restored:
        values = np.array([0, *(label.value for label in self.bundle.description.labels)])
        probabilities, uncertainty = self.settings.probabilities, self.settings.uncertainty
        planes = clock.timed("predict", predict(prepared.array, passes, monitor, uncertainty))
        grid = score_grid(passes)
        return restore(planes, prepared, values, probabilities, uncertainty, grid, self._threads)

    def _budget(self, prepared: Prepared, device: str) -> float:
        """Bytes that one forward and its buffers may take."""
        if device == "cuda":
            import torch

            # what torch keeps for reuse is free too, or a second image would have less
            kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
            return 0.8 * (torch.cuda.mem_get_info()[0] + kept)
        import psutil

        probabilities, uncertainty = self.settings.probabilities, self.settings.uncertainty
        members = self.bundle.description.members
        deviation = uncertainty and (len(members) > 1 or has_second_head(members[0]))
        maps = self.bundle.description.classes * (probabilities + deviation) + uncertainty
        # each output exists up to three times: array, image, image turned to the input's axes
        outputs = 3.0 * (1 + 4 * maps) * float(np.prod(prepared.oriented_shape))
        limit = self.settings.memory_limit_gib
        if limit is None:
            return psutil.virtual_memory().available / 2 - outputs
        return limit * GIB - psutil.Process().memory_info().rss - outputs - _HELD_BY_ALLOCATORS

    def _result(
        self,
        restored: Restored,
        prepared: Prepared,
        part: sitk.Image,
        place: Place,
        monitor: Monitor,
    ) -> Result:
        def placed(array: np.ndarray | None, outside: float = 0.0) -> sitk.Image | None:
            if array is None:
                return None
            return place.embed(place.wanted(to_source_grid(array, prepared, part)), outside)

        labels = place.wanted(to_source_grid(restored.labels, prepared, part))
        if isinstance(place.region, Point):
            together = self.bundle.description.field_of_view.kind == "crop"
            labels, notice = keep_structure(labels, place.region, together)
            if notice:
                monitor.notice(notice)
        return Result(
            labels=place.embed(labels),
            device="",
            engine="",
            seconds={},
            # the air round a body is surely background; nothing is known outside of a region
            probabilities=placed(restored.probabilities, 1.0 if place.region is None else 0.0),
            deviation=placed(restored.deviation),
            entropy=placed(restored.entropy),
        )

    def _open(self, choice: Choice) -> list[Runner]:
        runners = [
            Runner(m, open_engine(choice.engine, self._run, m, choice.device, self._threads))
            for m in self._run.description.members
        ]
        if self.settings.compile and choice.engine == "torch":
            for runner in runners:
                runner.engine.compile()  # type: ignore[attr-defined]
        return runners

    @property
    def device(self) -> str:
        """Where images start; see ``Result.device``."""
        return self.choice.device

    @property
    def _threads(self) -> int:
        return self.settings.threads or available_cores()

    def _set_threads(self) -> None:
        # to OpenVINO and ONNX Runtime it was said when they were opened
        if self.choice.engine == "torch" or not gives_logits(self._runners):
            import torch

            torch.set_num_threads(self._threads)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(self._threads)

    def _warn_of_spacing(self, image: sitk.Image, monitor: Monitor) -> None:
        expected = self.bundle.description.expects.spacing_range_mm
        if expected is None or image.GetDimension() == 2:
            return
        spacing = image.GetSpacing()
        if min(spacing) < expected[0] or max(spacing) > expected[1]:
            shown = " x ".join(f"{s:.2f}" for s in spacing)
            monitor.notice(
                f"The image's voxels are {shown} mm; the model knows {expected[0]:g} to "
                f"{expected[1]:g} mm, so check the result."
            )

    def _warn_of_modality(self, images: Sequence[sitk.Image], monitor: Monitor) -> None:
        for image, channel in zip(images, self.bundle.description.channels, strict=True):
            known = image.HasMetaDataKey(MODALITY_KEY)
            if known and image.GetMetaData(MODALITY_KEY) != channel.modality:
                monitor.notice(
                    f"The image is {image.GetMetaData(MODALITY_KEY)}; the model's channel "
                    f"{channel.name} is {channel.modality}, so check the result."
                )


def _release(runners: list[Runner]) -> None:
    for runner in runners:
        runner.engine.release()


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """What passed since the last lap and was not timed meanwhile is the stage's."""
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now

    def timed(self, stage: str, planes: Iterator[Planes]) -> Iterator[Planes]:
        """The same planes; what it takes to make them is the stage's, a failed try's too."""
        self.seconds.setdefault(stage, 0.0)
        while True:
            start = time.perf_counter()
            try:
                plane = next(planes, None)
            finally:
                passed = time.perf_counter() - start
                self.seconds[stage] += passed
                self._last += passed
            if plane is None:
                return
            yield plane


def _recording(monitor: Monitor, notices: list[str]) -> Monitor:
    """A monitor that keeps the notices, and never goes back where work starts again."""
    furthest = 0.0

    def progress(fraction: float, text: str) -> None:
        nonlocal furthest
        furthest = max(furthest, fraction)
        monitor.report(furthest, text)

    def notice(text: str) -> None:
        notices.append(text)
        monitor.notice(text)

    return Monitor(progress, notice, monitor.cancel)
