"""What is said of an artefact that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from KDSegmentationLogic.errors import TrainingError


def damaged(path: Path, error: Exception) -> TrainingError:
    """The error of an artefact that cannot be read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return TrainingError(f"{path} cannot be read ({reason}).", "Delete it and run the study again.")


def read_json(path: Path) -> Any:
    """What a JSON file among the artefacts holds.

    Raises
    ------
    TrainingError : it is missing or damaged.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
