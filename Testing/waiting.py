"""Waiting for what another process does, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 120.0  # s; on a busy machine importing torch alone takes twenty


def until(true: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until ``true()``; fail with ``what`` where it never is."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.005)
