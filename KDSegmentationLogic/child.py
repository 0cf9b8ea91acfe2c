"""A function run in a process of its own, with its progress and its errors brought back.

A fresh process measures memory that nothing else has touched, and a library that ends its
process (OpenGL where there is none) does not end the command.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from KDSegmentationLogic import errors
from KDSegmentationLogic.errors import KDSegError, OutOfMemoryError
from KDSegmentationLogic.progress import Monitor

A = TypeVar("A")
R = TypeVar("R")

_STEP = 0.01  # of the work; a message for each window would keep the parent busy
_KILLED = -9  # what Linux reports of a process that it ended for want of memory


class ChildFailure(Exception):
    """A bug in the child; its own traceback is the cause."""


def in_child(function: Callable[[A, Monitor], R], argument: A, monitor: Monitor) -> R:
    """``function(argument, monitor)`` in a new Python process.

    The function must be that of a module; argument and result are pickled. Cancelling the
    monitor, or an exception here, ends the process.

    Raises
    ------
    KDSegError : as the function raised it, or the process died.
    ChildFailure : any other exception of the function.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, function, argument), daemon=True)
    process.start()
    theirs.close()
    try:
        return _listen(ours, process, monitor)
    finally:
        if process.is_alive():
            process.terminate()
        process.join()
        ours.close()


def _listen(connection: Connection, process: BaseProcess, monitor: Monitor) -> Any:
    while True:
        monitor.check()
        if not connection.poll(0.1):
            continue
        try:
            kind, *content = connection.recv()
        except EOFError:
            process.join()
            raise _death(process.exitcode) from None
        if kind == "progress":
            monitor.report(*content)
        elif kind == "notice":
            monitor.notice(*content)
        elif kind == "result":
            return content[0]
        elif kind == "refused":
            name, cause, remedy = content
            raise getattr(errors, name, KDSegError)(cause, remedy)
        else:
            raise ChildFailure(content[0]) from ChildFailure(content[1])


def _death(status: int | None) -> KDSegError:
    if status == _KILLED:
        return OutOfMemoryError(
            "The process that did the work was killed, as systems do when memory runs out.",
            "Close other programs, or set --memory-limit.",
        )
    return KDSegError(
        f"The process that did the work ended without a result (exit status {status}).",
        "Run the command again; if that does not help, report what it printed.",
    )


def _serve(connection: Connection, function: Callable[[A, Monitor], Any], argument: A) -> None:
    # Ctrl-C reaches every process of a terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told = -1.0

    def progress(fraction: float, text: str) -> None:
        nonlocal told
        if fraction >= told + _STEP:
            told = fraction
            connection.send(("progress", fraction, text))

    monitor = Monitor(progress, lambda text: connection.send(("notice", text)))
    try:
        connection.send(("result", function(argument, monitor)))
    except KDSegError as error:
        connection.send(("refused", type(error).__name__, error.cause, error.remedy))
    except Exception as error:
        sentence = f"{type(error).__name__}: {error}"
        connection.send(("bug", sentence, "\n" + traceback.format_exc()))
