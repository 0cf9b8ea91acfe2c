"""The class that Slicer scripts call.

    logic = slicer.util.getModuleLogic("KDSegmentation")
    segmentation = logic.process(volume, "HippocampusMR-student", point=(26, -21, -17))

Positions are world RAS mm, as Slicer shows them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.catalogue import find_bundle, installed_bundles
from KDSegmentationLogic.dependencies import SEGMENTING, require
from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.progress import Monitor

if TYPE_CHECKING:
    import slicer

    from KDSegmentationLogic.inference.pipeline import Predictor, Result, Settings
    from KDSegmentationLogic.inference.region import Region
    from KDSegmentationLogic.scene.compared import ComparisonNodes
    from KDSegmentationLogic.scene.tasks import Task

_KEPT = 2  # a student and its ensemble


class SceneLogic:
    """Runs models on volumes of the scene. The last two loaded models are kept."""

    def __init__(self, worker: bool = True) -> None:
        """``worker`` false: models run in this process, and block it."""
        self._predictors: deque[Predictor] = deque()

    def models(self) -> list[Bundle]:
        """The installed models that can be used."""
        return installed_bundles()

    def process(
        self,
        volumes: slicer.vtkMRMLVolumeNode | Sequence[slicer.vtkMRMLVolumeNode],
        model: str,
        point: Sequence[float] | None = None,
        roi: slicer.vtkMRMLMarkupsROINode | None = None,
        name: str | None = None,
        settings: Settings | None = None,
        monitor: Monitor | None = None,
        waitForCompletion: bool = True,  # noqa: N803 (as Slicer's own logics have it)
        onDone: Callable[[Task], None] | None = None,  # noqa: N803
        replace: slicer.vtkMRMLSegmentationNode | bool = False,
    ) -> slicer.vtkMRMLSegmentationNode | Task:
        """Segment a volume; a segmentation node under the volume's transform.

        Parameters
        ----------
        volumes : one volume, or one a channel of the model in its order. Where they lie in
            the world counts, transforms included; the result is on the grid of the first.
        model : name of an installed model, or the folder of one.
        point : world RAS mm; only the structure there. roi : only inside it.
        name : of the segmentation; made of the volume's and the model's names if not given.
        monitor : hears of the progress; the run is then in this process, not in the worker.
        waitForCompletion : else a ``Task`` is returned at once, and several wait in a queue.
        onDone : called with the task when it has ended, in whatever way.
        replace : a segmentation of this module to put the result into, or True for the last
            one of the same volume. One that the user changed since is left alone, and a new
            one made; a notice says so.

        Raises
        ------
        KDSegError : with cause and remedy; the scene is then as it was.
        Cancelled : while waiting, the task was cancelled or its volume removed.
        """
        require(*SEGMENTING)
        from KDSegmentationLogic.scene.segmentations import segmentation_from_labels

        volumes = volumes if isinstance(volumes, (list, tuple)) else [volumes]
        bundle = find_bundle(model)
        result = self.predict(volumes, model, point, roi, settings, monitor)
        return segmentation_from_labels(
            result.labels,
            bundle.description.labels,
            volumes[0],
            name or f"{volumes[0].GetName()} {bundle.name}",
        )

    def compare(
        self,
        volumes: slicer.vtkMRMLVolumeNode | Sequence[slicer.vtkMRMLVolumeNode],
        first: str,
        second: str | slicer.vtkMRMLSegmentationNode,
        point: Sequence[float] | None = None,
        roi: slicer.vtkMRMLMarkupsROINode | None = None,
        settings: Settings | None = None,
        monitor: Monitor | None = None,
        waitForCompletion: bool = True,  # noqa: N803
        onDone: Callable[[Task], None] | None = None,  # noqa: N803
    ) -> ComparisonNodes | Task:
        """Two models, usually a student and its ensemble, on the same input; or a reference.

        Adds both segmentations, the voxels where they differ, the second one's uncertainty and
        a table of agreement (Dice, HD95, volumes, seconds). Parameters and errors as ``process``.
        """
        require(*SEGMENTING)
        from KDSegmentationLogic.evaluation.agreement import agreement
        from KDSegmentationLogic.inference.pipeline import Settings
        from KDSegmentationLogic.scene.compared import ModelLabels, add_comparison

        volumes = volumes if isinstance(volumes, (list, tuple)) else [volumes]
        monitor = monitor or Monitor()
        settings = replace(settings or Settings(), uncertainty=True)
        bundles = [find_bundle(model) for model in (first, second)]
        results = [
            self.predict(volumes, model, point, roi, settings, monitor.part(n / 2, (n + 1) / 2))
            for n, model in enumerate((first, second))
        ]
        names = [{label.value: label.name for label in b.description.labels} for b in bundles]
        found = agreement(results[0].labels, results[1].labels, names[0], names[1])
        seconds = [sum(result.seconds.values()) for result in results]
        rows = [
            {
                "structure": structure.name,
                "dice": structure.dice,
                f"hd95 ({structure.unit})": structure.hd95,
                f"{bundles[0].name} ({structure.volume_unit})": structure.prediction_volume,
                f"{bundles[1].name} ({structure.volume_unit})": structure.reference_volume,
                f"{bundles[0].name} (s)": seconds[0],
                f"{bundles[1].name} (s)": seconds[1],
            }
            for structure in found.structures
        ]
        title = volumes[0].GetName()
        models = tuple(
            ModelLabels(f"{title} {bundle.name}", result.labels, bundle.description.labels)
            for bundle, result in zip(bundles, results, strict=True)
        )
        return add_comparison(
            volumes[0],
            (models[0], models[1]),
            found.disagreement,
            results[1].entropy,
            {f"{title} agreement": rows},
        )

    def pick(
        self,
        volumes: slicer.vtkMRMLVolumeNode | Sequence[slicer.vtkMRMLVolumeNode],
        model: str,
        point: Sequence[float],
        segmentation: slicer.vtkMRMLSegmentationNode | None = None,
        settings: Settings | None = None,
        waitForCompletion: bool = False,  # noqa: N803
        onDone: Callable[[Task], None] | None = None,  # noqa: N803
    ) -> slicer.vtkMRMLSegmentationNode | Task:
        """Click on a structure: segment round a point and add the structure under it.

        Parameters
        ----------
        point : world RAS mm.
        segmentation : an earlier result of ``pick`` to add to; none: a new one is made.
        """
        raise NotImplementedError

    def unpick(
        self, segmentation: slicer.vtkMRMLSegmentationNode, point: Sequence[float]
    ) -> list[str]:
        """Remove the picked structure under a world point (RAS mm); the segments' names.

        Raises
        ------
        SceneError : no picked structure is within ``region.NEAREST_MM`` of the point.
        """
        raise NotImplementedError

    def warm(self, model: str, settings: Settings | None = None) -> None:
        """Load a model ahead of the first click."""
        raise NotImplementedError

    def tasks(self) -> list[Task]:
        """Those that wait or run, in their order."""
        raise NotImplementedError

    def cancel(self, task: Task) -> None:
        """End a task; at once for the caller, within a second for the worker."""
        raise NotImplementedError

    def poll(self) -> None:
        """Take in what the worker has sent; a timer calls this, it never waits."""
        raise NotImplementedError

    def close(self) -> None:
        """Cancel all tasks and end the worker; the logic can be used again afterwards."""
        raise NotImplementedError

    def predict(
        self,
        volumes: Sequence[slicer.vtkMRMLVolumeNode],
        model: str,
        point: Sequence[float] | None = None,
        roi: slicer.vtkMRMLMarkupsROINode | None = None,
        settings: Settings | None = None,
        monitor: Monitor | None = None,
    ) -> Result:
        """As ``process``, but the images instead of a node; the scene is only read."""
        require(*SEGMENTING)
        from KDSegmentationLogic.imaging.channels import on_one_grid
        from KDSegmentationLogic.scene.regions import box_in_volume, point_in_volume
        from KDSegmentationLogic.scene.volumes import image_from_volume

        if point is not None and roi is not None:
            raise UsageError("Both a point and a region were given.", "Give one of them.")
        if not volumes:
            raise UsageError("No volume was given.", "Give one volume a channel of the model.")
        monitor = monitor or Monitor()
        images = on_one_grid(
            [image_from_volume(volume, within=volumes[0]) for volume in volumes],
            [volume.GetName() for volume in volumes],
            monitor,
        )
        region: Region | None = None
        if point is not None:
            region = point_in_volume(volumes[0], point)
        elif roi is not None:
            region = box_in_volume(volumes[0], roi)
        predictor = self._predictor(find_bundle(model), settings, monitor)
        return predictor.segment(images, region, monitor)

    def _predictor(self, bundle: Bundle, settings: Settings | None, monitor: Monitor) -> Predictor:
        from KDSegmentationLogic.inference.pipeline import Predictor, Settings

        settings = settings or Settings()
        for predictor in self._predictors:
            # Equal bundles have equal SHA-256 of their weights: one replaced meanwhile has not.
            if (predictor.bundle, predictor.settings) == (bundle, settings):
                self._predictors.remove(predictor)
                break
        else:
            # Before the new one is loaded, so that there are never three in memory.
            while len(self._predictors) >= _KEPT:
                self._predictors.popleft()
            predictor = Predictor(bundle, settings, monitor)
        self._predictors.append(predictor)
        return predictor
