"""Which licences were accepted: once a model and licence, not once a session.

Standard library only; the widget stores the text in Slicer's settings.
"""

from __future__ import annotations

import hashlib
import json

from KDSegmentationLogic.bundles.bundle import Bundle

SETTING = "KDSegmentation/AcceptedLicences"
"""The key in Slicer's settings."""


class AcceptedLicences:
    """Parses and writes the stored text; a damaged text counts as nothing accepted."""

    def __init__(self, stored: str = "") -> None:
        self._keys = set(_parse(stored))

    def accepted(self, model: Bundle) -> bool:
        return _key(model) in self._keys

    def accept(self, model: Bundle) -> None:
        self._keys.add(_key(model))

    def withdraw(self, model: Bundle) -> None:
        self._keys.discard(_key(model))

    def stored(self) -> str:
        """The text to put into the settings."""
        return json.dumps(sorted(self._keys))


def _parse(stored: str) -> list[str]:
    try:
        keys = json.loads(stored or "[]")
    except ValueError:
        return []
    return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []


def _key(model: Bundle) -> str:
    # Models of one family share a licence: accepted for the student, it holds for the ensemble.
    text = f"{model.description.licence}\n{model.licence_text}"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
