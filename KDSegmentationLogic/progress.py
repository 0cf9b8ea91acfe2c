"""How long work talks to its caller: progress, notices, and cancelling.

Standard library only. One ``Monitor`` goes down through every layer; the command line
gives it a progress bar, the worker a pipe, a test a list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from KDSegmentationLogic.errors import Cancelled


class CancelToken:
    """Set from anywhere (another thread, a signal handler); read by the work."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()


class Monitor:
    """Receives what long work has to say.

    Parameters
    ----------
    progress : called with (fraction done in 0..1, what is being done).
    notice : called with one sentence for the user, e.g. a fall back to another device.
    cancel : checked by ``check``; a fresh token if none is given.
    """

    def __init__(
        self,
        progress: Callable[[float, str], None] | None = None,
        notice: Callable[[str], None] | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        self._progress = progress
        self._notice = notice
        self.cancel = cancel or CancelToken()

    def report(self, fraction: float, text: str) -> None:
        """Say how far the work is. Raises ``Cancelled`` where the user cancelled."""
        self.check()
        if self._progress:
            self._progress(min(max(fraction, 0.0), 1.0), text)

    def notice(self, text: str) -> None:
        """Tell the user one sentence that is not an error."""
        if self._notice:
            self._notice(text)

    def check(self) -> None:
        """Raise ``Cancelled`` where the user cancelled."""
        if self.cancel.cancelled:
            raise Cancelled

    def part(self, start: float, end: float) -> Monitor:
        """A monitor whose 0..1 is ``start``..``end`` of this one."""

        def scaled(fraction: float, text: str) -> None:
            if self._progress:
                self._progress(start + fraction * (end - start), text)

        return Monitor(scaled, self._notice, self.cancel)
