"""What a study's parts are and may be called, for those who need the names alone.

Standard library only.
"""

from __future__ import annotations

import re

STAGES = ("teachers", "targets", "students", "bundle", "validate", "test", "report")
"""The stages of a study, in their order."""

BEST_MEMBER = "best_member"
"""As a student's architecture: that of the ensemble's best member by validation."""


def is_plain(name: str) -> bool:
    """Whether files can be called after it that do not lead out of their folder."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None
