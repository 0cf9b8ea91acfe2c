"""The class that Slicer scripts call.

    logic = slicer.util.getModuleLogic("KDSegmentation")
    segmentation = logic.process(volume, "HippocampusMR-student", point=(26, -21, -17))

Positions are world RAS mm, as Slicer shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.catalogue import find_bundle, list_bundles
from KDSegmentationLogic.errors import UsageError
from KDSegmentationLogic.progress import Monitor

if TYPE_CHECKING:
    import slicer

    from KDSegmentationLogic.inference.pipeline import Predictor, Result, Settings
    from KDSegmentationLogic.inference.region import Region


class SceneLogic:
    """Runs models on volumes of the scene. Loaded models are kept for the next call."""

    def __init__(self) -> None:
        self._predictors: dict[tuple[str, Settings], Predictor] = {}

    def models(self) -> list[Bundle]:
        """The installed models that can be used."""
        return list(list_bundles()[0])

    def process(
        self,
        volumes: slicer.vtkMRMLVolumeNode | Sequence[slicer.vtkMRMLVolumeNode],
        model: str,
        point: Sequence[float] | None = None,
        roi: slicer.vtkMRMLMarkupsROINode | None = None,
        name: str | None = None,
        settings: Settings | None = None,
        monitor: Monitor | None = None,
    ) -> slicer.vtkMRMLSegmentationNode:
        """Segment a volume; a new segmentation node under the volume's transform.

        Parameters
        ----------
        volumes : one volume, or one a channel of the model in its order.
        model : name of an installed model, or the folder of one.
        point : world RAS mm; only the structure there. roi : only inside it.
        name : of the segmentation; made of the volume's and the model's names if not given.

        Raises
        ------
        KDSegError : with cause and remedy; the scene is then as it was.
        """
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
        from KDSegmentationLogic.scene.regions import box_in_volume, point_in_volume
        from KDSegmentationLogic.scene.volumes import image_from_volume

        if point is not None and roi is not None:
            raise UsageError("Both a point and a region were given.", "Give one of them.")
        if not volumes:
            raise UsageError("No volume was given.", "Give one volume a channel of the model.")
        monitor = monitor or Monitor()
        images = [image_from_volume(volume) for volume in volumes]
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
        key = (str(bundle.folder), settings)
        if key not in self._predictors:
            self._predictors[key] = Predictor(bundle, settings, monitor)
        return self._predictors[key]
