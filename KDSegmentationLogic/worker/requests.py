"""What a caller of the client gave, checked and made fit for sending.

What cannot be sent as JSON, or would mean something else in the child's folder, is seen here.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from KDSegmentationLogic.bundles.catalogue import user_models_folder
from KDSegmentationLogic.bundles.decoding import DecodingError, decode, encode
from KDSegmentationLogic.errors import BundleError, RegionError, UsageError
from KDSegmentationLogic.inference.pipeline import Settings
from KDSegmentationLogic.inference.region import Box, Point, Region
from KDSegmentationLogic.resources import models_folder


def bundle_address(bundle: Path | str) -> str:
    """The absolute folder of a bundle, found as ``find_bundle`` does, without reading it.

    A name that no folder has is left as it is: the child knows what to say of it.
    """
    if isinstance(bundle, str) and bundle and Path(bundle).name == bundle:
        places = [user_models_folder()]
        with contextlib.suppress(BundleError):
            places.append(models_folder())
        for place in places:
            if (place / bundle).is_dir():
                return str(place / bundle)
    path = Path(bundle).expanduser()
    return str(path.absolute()) if isinstance(bundle, Path) or path.exists() else bundle


def checked_settings(settings: Any) -> Settings:
    """``Settings`` of any dataclass with its fields; the default ones of None.

    Raises
    ------
    UsageError : names the setting that does not fit.
    """
    try:
        return decode(Settings, encode(settings or Settings()), "settings")
    except DecodingError as error:
        name = error.where.removeprefix("settings.")
        raise UsageError(f"The setting {name}: {error.problem}.", "Correct it.") from None


def checked_region(region: Region | None) -> tuple[Point | None, Box | None]:
    """The region as a point or a box, in Python's own numbers (numpy's are no JSON).

    Raises
    ------
    RegionError : a coordinate is not finite.
    """
    if region is None:
        return None, None
    if isinstance(region, Point):
        point = Point(_floats(region.ras))
        _check_finite(point.ras)
        return point, None
    to_ras = None if region.to_ras is None else _floats(region.to_ras)
    box = Box(_floats(region.lower), _floats(region.upper), to_ras)
    _check_finite((*box.lower, *box.upper, *(to_ras or ())))
    return None, box


def _check_finite(numbers: Sequence[float]) -> None:
    if not all(map(math.isfinite, numbers)):
        raise RegionError(
            "The position of the point or region is not a finite number.", "Place it again."
        )


def _floats(numbers: Sequence[float]) -> Any:
    return tuple(map(float, numbers))
