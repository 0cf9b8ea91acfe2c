"""What an exception or an exit status of the child says to the user.

Standard library only.
"""

from __future__ import annotations

import re
import signal

from KDSegmentationLogic.errors import (
    DependencyError,
    DeviceError,
    KDSegError,
    OutOfMemoryError,
)

# A fault leaves the context of the GPU unusable: nothing in that process runs on it again.
_GPU = re.compile(
    r"(CUDA|HIP|cuDNN|CUBLAS|MPS)\w*[ _](kernel |driver |backend )?(errors?|status)", re.I
)
_MEMORY = re.compile(r"out of memory|allocate memory|not enough memory|bad_alloc", re.I)
_EXCEPTION = re.compile(r"^[\w.]*(Error|Exception|Interrupt)\b.*")

_ANEW = "Run it again: the worker starts anew."
_LESS = (
    "Close other programs, or give a point or region instead of the whole image; the worker"
    " starts anew."
)
_NATIVE = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGTRAP"}
# Of Windows' NTSTATUS: no memory, and the limit of committed memory.
_WINDOWS_MEMORY = {0xC0000017, 0xC000012D}
_WINDOWS_CRASH = 0xC0000000  # from here on: errors that ended the process


def error_of_exception(error: Exception) -> tuple[KDSegError, bool]:
    """What to tell of an exception in the child, and whether the child must be replaced."""
    if isinstance(error, KDSegError):
        return error, False
    text = " ".join(str(error).split("\n")[0].split())
    if isinstance(error, MemoryError) or _MEMORY.search(str(error)):
        return OutOfMemoryError("The work does not fit the memory.", _LESS), False
    if _GPU.search(str(error)):
        cause = f"The GPU failed during the work ({text})."
        return DeviceError(cause, f"{_ANEW} If it comes back, choose the device cpu."), True
    if isinstance(error, ModuleNotFoundError):
        return _missing(text), False
    if isinstance(error, OSError):
        remedy = "Check the path, its permissions and the space left."
        return KDSegError(f"{error.filename or 'A file'}: {error.strerror or text}.", remedy), False
    return (
        KDSegError(
            f"This is a bug in KDSegmentation ({type(error).__name__}: {text}).",
            "Report this sentence, with the model and the kind of image.",
        ),
        False,
    )


def error_of_death(status: int | None, last_words: str) -> KDSegError:
    """Why the child ended without an answer.

    Parameters
    ----------
    status : as ``subprocess.Popen.returncode``; none where it is not known.
    last_words : the end of what it wrote to stderr.
    """
    spoken = _last_exception(last_words)
    if spoken.startswith("ModuleNotFoundError"):
        return _missing(spoken.partition(": ")[2])
    if _GPU.search(last_words):
        return DeviceError(
            f"The GPU failed during the work, and the worker process with it{_in(spoken)}.",
            f"{_ANEW} If it comes back, choose the device cpu.",
        )
    name = _signal(status)
    if name == "SIGKILL" or status in _WINDOWS_MEMORY or _MEMORY.search(last_words):
        return OutOfMemoryError(
            "The worker process was killed, as systems do when memory runs out.", _LESS
        )
    if name in _NATIVE or (status is not None and status >= _WINDOWS_CRASH):
        return KDSegError(
            f"The worker process crashed ({name or hex(status or 0)}).",
            f"{_ANEW} If it comes back, choose another engine or the device cpu.",
        )
    if name:
        return KDSegError(f"The worker process was ended from outside ({name}).", _ANEW)
    return KDSegError(
        f"The worker process ended without a result (exit status {status}){_in(spoken)}.",
        f"{_ANEW} If it comes back, report this sentence.",
    )


def _signal(status: int | None) -> str:
    """The signal's name; a launcher between reports it as 128 and its number."""
    if status is None or not (-64 <= status < 0 or 128 < status < 192):
        return ""
    number = -status if status < 0 else status - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_exception(text: str) -> str:
    lines = [line for line in text.splitlines() if _EXCEPTION.match(line)]
    return lines[-1].strip()[:300] if lines else ""


def _in(spoken: str) -> str:
    return f": {spoken.rstrip('.')}" if spoken else ""


def _missing(text: str) -> DependencyError:
    return DependencyError(
        f"The worker's Python lacks a package ({text}).",
        "Install it in the Python that runs KDSegmentation, in Slicer with the module's set-up.",
    )
