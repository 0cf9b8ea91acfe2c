"""The models that the child keeps: the last two, checked again only where their files changed."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import METADATA, Bundle
from KDSegmentationLogic.bundles.catalogue import find_bundle
from KDSegmentationLogic.errors import KDSegError
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.inference.region import Point
from KDSegmentationLogic.progress import Monitor

KEPT = 2  # a student and its ensemble

OpenPredictor = Callable[[Bundle, Settings, Monitor], Predictor]
_Stamp = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Kept:
    called: str
    stamp: _Stamp
    settings: Settings
    predictor: Predictor


class Models:
    """Predictors by bundle and settings.

    Parameters
    ----------
    open_predictor : what loads a model; ``Predictor`` itself but in tests.
    """

    def __init__(self, open_predictor: OpenPredictor = Predictor) -> None:
        self._open = open_predictor
        self._kept: deque[_Kept] = deque()

    def predictor(self, called: str, settings: Settings, monitor: Monitor) -> Predictor:
        """The predictor of a bundle, by its folder or name.

        Hashing the weights took 13 ms of a click that takes 100: it is done again only where a
        file's time or size changed. What is in memory was checked when it was loaded.

        Raises
        ------
        KDSegError : as ``find_bundle`` and ``Predictor``.
        """
        predictor = self._found(called, _of_loading(settings))
        if predictor is None:
            return self._load(called, settings, monitor)
        predictor.settings = settings
        return predictor

    def _found(self, called: str, settings: Settings) -> Predictor | None:
        for kept in self._kept:
            if (kept.called, kept.settings) == (called, settings):
                self._kept.remove(kept)
                if kept.stamp != _stamp(kept.predictor.bundle):
                    return None
                self._kept.append(kept)
                return kept.predictor
        return None

    def _load(self, called: str, settings: Settings, monitor: Monitor) -> Predictor:
        bundle = find_bundle(called)
        monitor.report(0.0, f"loading {bundle.name}")
        # Before the new one is loaded, so that there are never three in memory.
        while len(self._kept) >= KEPT:
            self._kept.popleft()
        stamp = _stamp(bundle)
        predictor = self._open(bundle, settings, monitor)
        self._kept.append(_Kept(called, stamp, _of_loading(settings), predictor))
        return predictor


def warm_up(predictor: Predictor) -> None:
    """Run a model of crops once on an empty image: of the first click 0.3 s of 0.4 were imports
    and kernels chosen. Other models are not waited for by a person with a mouse.
    """
    description = predictor.bundle.description
    extent, spacing = description.field_of_view.extent_mm, description.grid.spacing
    if description.field_of_view.kind != "crop" or extent is None or spacing is None:
        return
    size = [max(1, round(mm / step)) for mm, step in zip(extent, spacing, strict=True)]
    image = sitk.Image(size, sitk.sitkFloat32)
    image.SetSpacing(spacing)
    r, a, s = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in size])
    with contextlib.suppress(KDSegError):  # there is no structure, or the memory is for later
        predictor.segment([image] * len(description.channels), Point((-r, -a, s)))


def _of_loading(settings: Settings) -> Settings:
    """The settings without what may change from one image to the next."""
    return replace(settings, probabilities=False, uncertainty=False)


def _stamp(bundle: Bundle) -> _Stamp:
    """Time and size of all files of a bundle that are used; empty where one is gone."""
    members = bundle.description.members
    onnx = (bundle.onnx_path(member) for member in members)
    paths = [bundle.folder / METADATA, *map(bundle.weight_path, members), *filter(None, onnx)]
    try:
        found = [path.stat() for path in paths]
    except OSError:
        return ()
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in found)
