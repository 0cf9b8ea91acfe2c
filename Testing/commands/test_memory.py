"""The peak of memory is seen also where it is over before the end."""

from __future__ import annotations

import numpy as np

from KDSegmentationLogic.inference.peak import GIB, PeakMemory


def test_memory_that_was_given_back_still_counts() -> None:
    size = GIB // 4
    with PeakMemory() as before:
        pass
    with PeakMemory() as during:
        block = np.ones(size, np.uint8)
        del block
    with PeakMemory() as after:
        pass
    assert during.gib - before.gib > 0.2
    assert after.gib < during.gib - 0.2
