"""From images and a bundle to a label map on the images' own grid.

    predictor = Predictor(find_bundle("HippocampusMR-student"))
    result = predictor.segment([read_image(path)], Point((26, -21, -17)))
    write_image(result.labels, output)

The predictor keeps its networks: the second image costs no loading.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import psutil
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.errors import OutOfMemoryError
from KDSegmentationLogic.inference.engines.base import EngineMemoryError
from KDSegmentationLogic.inference.engines.registry import (
    available_cores,
    choose_device,
    open_engine,
)
from KDSegmentationLogic.inference.predict import HALVINGS, Plan, Runner, plan_passes, predict
from KDSegmentationLogic.inference.preprocess import Prepared, preprocess
from KDSegmentationLogic.inference.region import Block, Point, Region, choose_block, keep_structure
from KDSegmentationLogic.inference.restore import Restored, restore, to_source_grid
from KDSegmentationLogic.progress import Monitor

GIB = 2**30
_HELD_BY_ALLOCATORS = GIB / 8  # measured: up to 70 MiB that no estimate sees


@dataclass(frozen=True)
class Settings:
    """How to run, not what to run.

    memory_limit_gib : peak resident memory of this process; none: half of what is free.
    threads : none: all cores that the process may use. Holds for the whole process, as torch
        and ITK have it.
    probabilities : also the class probabilities on the input's grid.
    uncertainty : also entropy and standard deviation over the members.
    """

    device: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    memory_limit_gib: float | None = None
    probabilities: bool = False
    uncertainty: bool = False


@dataclass
class Result:
    """What came out, all images on the input's own grid.

    labels : uint8 (uint16 for values above 255).
    probabilities, deviation : vector images, one component a class, background first.
    entropy : of the mean probabilities, 0 (certain) to 1 (all classes alike). Outside of a
        region all maps are 0.
    device, engine : where it ran, which is the CPU where the device's memory did not suffice.
    seconds : by stage (preprocess, predict, restore); predict holds restoring in slabs.
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
    DeviceError : the device or engine asked for is not there.
    BundleError : the weights do not fit the architecture.
    """

    def __init__(
        self, bundle: Bundle, settings: Settings | None = None, monitor: Monitor | None = None
    ) -> None:
        self.bundle = bundle
        self.settings = settings or Settings()
        self.device, reason = choose_device(self.settings.device)
        (monitor or Monitor()).notice(f"Running on {self.device}: {reason}.")
        self._runners = self._open(self.device)

    def segment(
        self,
        images: Sequence[sitk.Image],
        region: Region | None = None,
        monitor: Monitor | None = None,
    ) -> Result:
        """Segment one case.

        Parameters
        ----------
        images : one scalar image a channel of the bundle, in its order, on one grid.
        region : where; None for the whole image.

        Raises
        ------
        ImageError, RegionError : the input does not fit the model.
        OutOfMemoryError : not even the smallest windows on the CPU fit.
        Cancelled : the monitor's token was set.
        """
        notices: list[str] = []
        monitor = _recording(monitor or Monitor(), notices)
        self._set_threads()
        try:
            result = self._segment(images, region, monitor)
        except MemoryError as error:
            raise _too_large() from error
        result.notices = notices
        monitor.report(1.0, "done")
        return result

    def _segment(
        self, images: Sequence[sitk.Image], region: Region | None, monitor: Monitor
    ) -> Result:
        description = self.bundle.description
        clock = _Clock()
        self._warn_of_spacing(images[0], monitor)
        block = choose_block(images[0], description, region)
        parts = [_cut(image, block) for image in images]
        prepared = preprocess(parts, description.channels, description.grid)
        monitor.report(0.05, "prepared")
        clock.lap("preprocess")
        restored, runners = self._predict(prepared, monitor.part(0.05, 0.95))
        clock.lap("predict")
        result = self._result(restored, prepared, parts[0], images[0], block, region, monitor)
        clock.lap("restore")
        result.device, result.engine = runners[0].engine.device, runners[0].engine.name
        result.seconds = clock.seconds
        return result

    def _predict(self, prepared: Prepared, monitor: Monitor) -> tuple[Restored, list[Runner]]:
        """Down the ladder: smaller windows, then the CPU; each step is told."""
        runners = self._runners
        while True:
            restored = self._on_one_device(runners, prepared, monitor)
            if restored is not None:
                return restored, runners
            device = runners[0].engine.device
            if device == "cpu":
                raise _too_large()
            monitor.notice(f"Out of memory on {device}: going on with the CPU.")
            runners = self._open("cpu")

    def _on_one_device(
        self, runners: list[Runner], prepared: Prepared, monitor: Monitor
    ) -> Restored | None:
        """The largest windows that fit; None where not even the smallest do."""
        z, y, x = prepared.array.shape[1:]
        budget = self._budget(prepared, runners[0].engine.device)
        failed = None
        for shrink in range(HALVINGS + 2):
            passes = plan_passes(runners, (z, y, x), budget, shrink)
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
                return self._attempt(prepared, passes, monitor)
            except (EngineMemoryError, MemoryError):
                failed = windows
        return None

    def _attempt(self, prepared: Prepared, passes: list[list[Plan]], monitor: Monitor) -> Restored:
        values = np.array([0, *(label.value for label in self.bundle.description.labels)])
        planes = predict(prepared.array, passes, monitor, self.settings.uncertainty)
        return restore(
            planes, prepared, values, self.settings.probabilities, self.settings.uncertainty
        )

    def _budget(self, prepared: Prepared, device: str) -> float:
        """Bytes that one forward and its buffers may take."""
        if device == "cuda":
            import torch

            # what torch keeps for reuse is free too, or a second image would have less
            kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
            return 0.8 * (torch.cuda.mem_get_info()[0] + kept)
        probabilities, uncertainty = self.settings.probabilities, self.settings.uncertainty
        maps = self.bundle.description.classes * (probabilities + uncertainty) + uncertainty
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
        whole: sitk.Image,
        block: Block,
        region: Region | None,
        monitor: Monitor,
    ) -> Result:
        def placed(array: np.ndarray | None) -> sitk.Image | None:
            return None if array is None else _paste(array, prepared, part, whole, block)

        labels = to_source_grid(restored.labels, prepared, part)
        if isinstance(region, Point):
            together = self.bundle.description.field_of_view.kind == "crop"
            labels, notice = keep_structure(labels, region, together)
            if notice:
                monitor.notice(notice)
        return Result(
            labels=_embed(labels, whole, block),
            device="",
            engine="",
            seconds={},
            probabilities=placed(restored.probabilities),
            deviation=placed(restored.deviation),
            entropy=placed(restored.entropy),
        )

    def _open(self, device: str) -> list[Runner]:
        return [
            Runner(member, open_engine(self.settings.engine, self.bundle, member, device))
            for member in self.bundle.description.members
        ]

    def _set_threads(self) -> None:
        import torch

        threads = self.settings.threads or available_cores()
        torch.set_num_threads(threads)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)

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


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now


def _too_large() -> OutOfMemoryError:
    return OutOfMemoryError(
        "The image does not fit the memory, even in the smallest windows.",
        "Close other programs, or give a point or region instead of the whole image.",
    )


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


def _cut(image: sitk.Image, block: Block) -> sitk.Image:
    start, size = block
    if size == image.GetSize():
        return image
    return sitk.RegionOfInterest(image, size, start)


def _embed(part: sitk.Image, whole: sitk.Image, block: Block) -> sitk.Image:
    """The part at its place in an image of zeros on the grid of the whole."""
    if block[1] == whole.GetSize():
        return part
    components = part.GetNumberOfComponentsPerPixel()
    result = sitk.Image(whole.GetSize(), part.GetPixelID(), components)
    result.CopyInformation(whole)
    return sitk.Paste(result, part, block[1], [0] * len(block[1]), block[0])


def _paste(
    array: np.ndarray, prepared: Prepared, part: sitk.Image, whole: sitk.Image, block: Block
) -> sitk.Image:
    return _embed(to_source_grid(array, prepared, part), whole, block)
