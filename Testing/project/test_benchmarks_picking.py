"""The click's benchmark finds what the pipeline asks of an engine."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")


def test_the_bare_forward_is_the_one_of_the_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the script puts its own folder first
    from benchmarks.picking import bare_forward

    forward, what = bare_forward()
    scores = forward()
    assert what.startswith("40 x 56 x 40 voxels")
    assert scores.shape[0] == 1
    assert np.isfinite(scores).all()
