"""Where the words of a command go: results to stdout, all else to stderr.

Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any, TextIO

from KDSegmentationLogic.dependencies import require
from KDSegmentationLogic.errors import DependencyError, KDSegError
from KDSegmentationLogic.progress import Monitor

_BAR = 24
_SPARSE = 10  # lines of progress where there is no terminal, whatever the work's length


class Console:
    """What a command prints through.

    Parameters
    ----------
    quiet : no progress and no notices; errors always show.
    as_json : ``result`` prints JSON and ``say`` nothing.
    """

    def __init__(self, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json

    @classmethod
    def of(cls, args: Namespace) -> Console:
        """The console that the flags --quiet and --json ask for."""
        return cls(args.quiet, args.json)

    def say(self, text: str) -> None:
        """Print a result for people."""
        if not self.as_json:
            print(text)

    def result(self, content: Any) -> None:
        """Print the result for programs: one JSON document; an undefined number is null."""
        if self.as_json:
            print(json.dumps(_without_nan(content), indent=1, ensure_ascii=False, allow_nan=False))

    def notice(self, text: str) -> None:
        """Tell one sentence that is neither a result nor the end of the command."""
        if not self.quiet:
            print(text, file=sys.stderr)

    def error(self, text: str) -> None:
        """Tell what failed."""
        print(text, file=sys.stderr)

    @contextlib.contextmanager
    def monitor(self) -> Iterator[Monitor]:
        """A monitor that shows here how far the work is."""
        if self.quiet:
            yield Monitor()
            return
        line = _Bar(sys.stderr) if sys.stderr.isatty() else _Lines(sys.stderr)
        try:
            yield Monitor(line.progress, line.notice)
        finally:
            line.end()


class _Bar:
    """One line of a terminal, drawn again and again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = ""

    def progress(self, fraction: float, text: str) -> None:
        full = round(fraction * _BAR)
        line = f"[{'#' * full}{'.' * (_BAR - full)}] {fraction:4.0%} {text}"[:79]
        if line != self._shown:
            self._draw(line)

    def notice(self, text: str) -> None:
        shown = self._shown
        self._draw("")
        print(text, file=self._stream)
        self._draw(shown)

    def end(self) -> None:
        self._draw("")

    def _draw(self, line: str) -> None:
        # Blanks instead of a terminal's codes, which old Windows consoles print.
        self._stream.write("\r" + line.ljust(len(self._shown)) + ("" if line else "\r"))
        self._stream.flush()
        self._shown = line


class _Lines:
    """A log: a line at every tenth of the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tenths = 0

    def progress(self, fraction: float, text: str) -> None:
        tenths = math.floor(fraction * _SPARSE)
        if tenths > self._tenths:
            self._tenths = tenths
            print(f"{fraction:4.0%} {text}", file=self._stream, flush=True)

    def notice(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def end(self) -> None:
        pass


def speak_utf8() -> None:
    """Let stdout and stderr take any text: not every console and pipe knows every letter."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def describe(error: Exception) -> str:
    """Cause and remedy of any failure, on one line."""
    if isinstance(error, KDSegError):
        return " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError) and error.name and not _ours(error.name):
        return _absent(error.name)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or str(error)
        return f"{where}{reason}. Check the path, its permissions and the space left."
    return (
        f"This is a bug in KDSegmentation ({type(error).__name__}: {error});"
        " run the command again with --debug and report what it prints."
    )


def _absent(module: str) -> str:
    package = module.partition(".")[0]
    try:
        require(package)
    except DependencyError as error:
        return str(error)
    return f"The installed {package} lacks {module}. Update it with: pip install -U {package}"


def _ours(module: str) -> bool:
    return module.split(".")[0] == __name__.split(".")[0]


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
