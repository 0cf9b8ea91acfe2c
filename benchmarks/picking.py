"""A warm click on a structure: from the call to segments in the scene, beside the bare network.

    python benchmarks/picking.py [--rounds N]

Both turns alternate in one run, on the ICBM 152 template that comes with the module, with the
bundled student: a click goes through the worker process and ends with segments in a scene; the
bare forward is the same engine on the same prepared box in this process. Prints medians, their
ratio and difference.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from KDSegmentationLogic.bundles.catalogue import find_bundle  # noqa: E402
from KDSegmentationLogic.imaging.reading import read_image  # noqa: E402
from KDSegmentationLogic.inference.pipeline import Predictor  # noqa: E402
from KDSegmentationLogic.inference.region import Point  # noqa: E402
from KDSegmentationLogic.progress import Monitor  # noqa: E402
from KDSegmentationLogic.scene import headless  # noqa: E402
from KDSegmentationLogic.scene.logic import SceneLogic  # noqa: E402

SAMPLE = ROOT / "KDSegmentation" / "Resources" / "SampleData" / "ICBM152_T1.nii.gz"
MODEL = "HippocampusMR-student"
POINT = (26.0, -21.0, -17.0)


class Recording:
    """An engine that keeps how it was last called."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.call: tuple[str, np.ndarray] = ("", np.empty(0))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        if name not in ("features", "probabilities"):
            return found

        def called(batch: np.ndarray, monitor: Monitor) -> np.ndarray:
            self.call = name, batch.copy()
            return found(batch, monitor)

        return called


def bare_forward() -> tuple[Callable[[], Any], str]:
    """What an engine computes for a click at the point, and in words what that is."""
    predictor = Predictor(find_bundle(MODEL))
    (runner,) = predictor._runners
    recording = Recording(runner.engine)
    predictor._runners = [replace(runner, engine=recording)]
    predictor.segment([read_image(SAMPLE)], Point(POINT))
    name, batch = recording.call
    size = " x ".join(map(str, reversed(batch.shape[2:])))
    engine = runner.engine
    return lambda: getattr(engine, name)(batch, Monitor()), f"{size} voxels, {engine.name}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds

    headless.start()
    from KDSegmentationLogic.scene.volumes import volume_from_image

    logic, volume = SceneLogic(), volume_from_image(read_image(SAMPLE), "ICBM152_T1")
    forward, what = bare_forward()
    clicks, forwards = [], []
    segmentation = logic.pick(volume, MODEL, POINT, waitForCompletion=True)
    for _ in range(rounds):
        start = time.perf_counter()
        segmentation = logic.pick(volume, MODEL, POINT, segmentation, waitForCompletion=True)
        clicks.append(time.perf_counter() - start)
        start = time.perf_counter()
        forward()
        forwards.append(time.perf_counter() - start)
    logic.close()
    click, bare = statistics.median(clicks), statistics.median(forwards)
    print(f"{rounds} rounds, {what}\n")
    print("| what | median, ms | shortest, ms |\n|---|---:|---:|")
    print(f"| click to segments in the scene | {1e3 * click:.0f} | {1e3 * min(clicks):.0f} |")
    print(f"| bare forward of that box | {1e3 * bare:.0f} | {1e3 * min(forwards):.0f} |")
    print(f"\nratio {click / bare:.2f}, difference {1e3 * (click - bare):.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
