"""The child process as its client sees it: started, written to, read without waiting, ended."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from KDSegmentationLogic.errors import DependencyError

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the package: of the source tree, of site-packages or of Slicer."""

_AT_ONCE = 2**20  # bytes taken from a pipe before the caller has its turn again
_LONGEST_LINE = 2**20
_LAST_WORDS = 16 * 1024
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows os.kill ends a process at once


def default_command() -> list[str]:
    """Python, running the worker. Raises ``DependencyError`` where no Python is found."""
    return [python_executable(), "-m", "KDSegmentationLogic.worker"]


def python_executable(
    running: str = sys.executable, which: Callable[[str], str | None] = shutil.which
) -> str:
    """A Python interpreter with this one's packages.

    Inside Slicer ``sys.executable`` may be Slicer itself; its Python is ``PythonSlicer``, in the
    folder of programs, on macOS beside that folder, and on the PATH that Slicer sets.

    Parameters
    ----------
    running : the program that runs now.

    Raises
    ------
    DependencyError : there is none.
    """
    if running and Path(running).name.lower().startswith("python"):
        return running
    ending = ".exe" if running.lower().endswith(".exe") else ""
    if running:
        folder = Path(running).parent
        for place in (folder, folder.parent / "bin"):
            if (place / f"PythonSlicer{ending}").is_file():
                return str(place / f"PythonSlicer{ending}")
    if found := which("PythonSlicer"):
        return found
    raise DependencyError(
        f"No Python interpreter was found beside {running or 'this program'}.",
        "Install Slicer again: PythonSlicer belongs into its folder bin.",
    )


def environment() -> dict[str, str]:
    """This process' environment, with our package first and text as UTF-8."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8",
    }


class ChildProcess:
    """A running child.

    Raises
    ------
    DependencyError : it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        if not hasattr(os, "set_blocking"):
            raise DependencyError(
                "The worker needs Python 3.12 or newer on Windows.", "Install a newer Python."
            )
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # `python -m` looks for modules there first: not among the user's files
                cwd=ROOT,
                env=environment(),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise DependencyError(
                f"The worker process {command[0]} cannot be started ({error.strerror or error}).",
                "Check that this program exists and may be run, or install KDSegmentation again.",
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._in, self._out, self._err = (
            self._process.stdin,
            self._process.stdout,
            self._process.stderr,
        )
        for stream in (self._out, self._err):
            os.set_blocking(stream.fileno(), False)
        self._unfinished = b""
        self._words = b""
        self.worker_pid = self._process.pid
        """The child's own, once it has told; what was started may be a launcher."""

    def send(self, line: bytes) -> None:
        """Raises ``OSError`` where the child is gone. The child reads at any time."""
        self._in.write(line)
        self._in.flush()

    def lines(self) -> list[bytes]:
        """The lines that arrived since; without waiting."""
        self._listen_to_stderr()
        *lines, self._unfinished = (self._unfinished + _available(self._out.fileno())).split(b"\n")
        if len(self._unfinished) > _LONGEST_LINE:  # no message: the reader will say so
            lines, self._unfinished = [*lines, self._unfinished], b""
        return lines

    def wait_for_line(self, seconds: float) -> None:
        """Wait until something arrives or the time is over. Windows cannot wait for pipes."""
        if hasattr(select, "poll"):
            waiting = select.poll()
            waiting.register(self._out.fileno(), select.POLLIN)
            waiting.poll(1000 * seconds)
        else:
            time.sleep(min(seconds, 0.002))

    @property
    def status(self) -> int | None:
        """The exit status of a child that has ended."""
        return self._process.poll()

    def last_words(self) -> str:
        """The end of what the child wrote to stderr."""
        self._listen_to_stderr()
        return self._words.decode("utf-8", errors="replace")

    def end(self, seconds: float) -> None:
        """Let an idle child end by itself for so long, then kill it."""
        with contextlib.suppress(OSError):
            self._in.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End the child at once, if it has not ended."""
        if self._process.poll() is None:
            if self.worker_pid != self._process.pid:
                with contextlib.suppress(OSError):
                    os.kill(self.worker_pid, _KILL)
            self._process.kill()
        for stream in (self._in, self._out, self._err):
            with contextlib.suppress(OSError):
                stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)

    def _listen_to_stderr(self) -> None:
        """Else a library that prints much would wait for ever."""
        self._words = (self._words + _available(self._err.fileno()))[-_LAST_WORDS:]


def _available(fd: int) -> bytes:
    parts: list[bytes] = []
    with contextlib.suppress(OSError):  # nothing there now, or nobody at the other end
        while sum(map(len, parts)) < _AT_ONCE and (part := os.read(fd, 2**16)):
            parts.append(part)
    return b"".join(parts)
