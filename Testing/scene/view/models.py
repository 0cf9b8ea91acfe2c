"""Bundles as the panels see them: descriptions only, nothing of them is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.catalogue import find_bundle
from KDSegmentationLogic.bundles.description import Channel, FieldOfView, Normalisation

STUDENT = find_bundle("HippocampusMR-student", verify=False)
ENSEMBLE = find_bundle("HippocampusMR-ensemble", verify=False)


def model(name: str, **changes: Any) -> Bundle:
    """The bundled student under another name, with parts of its description changed."""
    description = replace(STUDENT.description, **changes)
    return replace(STUDENT, folder=Path(name), name=name, description=description)


def channels(*names: str) -> tuple[Channel, ...]:
    return tuple(Channel(name, "MR", Normalisation("zscore")) for name in names)


WHOLE = model("whole", field_of_view=FieldOfView("whole"), relative=None)
