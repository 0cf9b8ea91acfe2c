"""What a study's parts are called, for those who need the names alone.

Standard library only.
"""

from __future__ import annotations

STAGES = ("teachers", "targets", "students", "bundle", "validate", "test", "report")
"""The stages of a study, in their order."""

BEST_MEMBER = "best_member"
"""As a student's architecture: that of the ensemble's best member by validation."""
