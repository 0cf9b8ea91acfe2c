"""One error for a lack of memory, whoever ran out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from KDSegmentationLogic.errors import OutOfMemoryError


def too_large() -> OutOfMemoryError:
    return OutOfMemoryError(
        "The image does not fit the memory, even in the smallest windows.",
        "Close other programs, or give a point or region instead of the whole image.",
    )


@contextlib.contextmanager
def memory_checked() -> Iterator[None]:
    """Turn what numpy and ITK raise without memory into ``OutOfMemoryError``.

    ITK has no exception of its own for it, only its words.
    """
    try:
        yield
    except MemoryError as error:
        raise too_large() from error
    except RuntimeError as error:
        if "allocate memory" in str(error) or "bad_alloc" in str(error):
            raise too_large() from error
        raise
