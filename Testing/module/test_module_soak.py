"""Many runs in one process, disturbed at random: no leak, and never a wrong scene."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from Testing.module.acting import finish, segmentations
from Testing.module.conftest import ready
from Testing.module.test_module_life import observers
from Testing.module.test_module_worker import temporary, workers

Add = Callable[..., Any]
MODELS = ("Tiny-student", "Tiny-ensemble")


def labels_of(node: Any) -> Any:
    import SimpleITK as sitk

    from KDSegmentationLogic.scene.edits import volume_of
    from KDSegmentationLogic.scene.segmentations import labels_from_segmentation

    return sitk.GetArrayFromImage(labels_from_segmentation(node, volume_of(node))[0])


def disturb(host: Any, widget: Any, chance: random.Random, kills: bool) -> str:
    """One of the things that go wrong in life, while a run is on; says which."""
    what = chance.choice(["nothing", "nothing", "cancel", "close", *(["kill"] if kills else [])])
    if what != "nothing":
        steps = chance.randrange(4)
        for _ in range(steps):
            host.events()
    if what == "cancel":
        widget.runs.cancel()
    elif what == "kill":
        for worker in workers():
            worker.kill()
    elif what == "close":
        host.close_scene()
    return what


def soak(host: Any, add: Add, count: int, kills: bool, seed: int) -> None:
    import SimpleITK as sitk

    from Testing.making import phantom

    truth = sitk.GetArrayFromImage(phantom()[1])
    files = temporary()
    chance = random.Random(seed)
    widget = host.open()
    marks = []
    for n in range(count):
        host.close_scene()
        add(f"Case {n}")
        host.events()
        ready(widget, chance.choice(MODELS))
        host.click(widget.runPanel.button)
        what = disturb(host, widget, chance, kills)
        finish(host, widget, 120)
        made = segmentations()
        if what == "nothing":
            assert len(made) == 1, f"run {n}: {widget.runPanel.message.text}"
        for node in made:
            assert (labels_of(node) == truth).all(), f"run {n} ({what}) has a wrong result"
        assert len(workers()) <= 1
        if n in (count // 4, count - 1):
            host.close_scene()
            gc.collect()
            memory = psutil.Process().memory_info().rss / 2**20
            marks.append((observers(), len(psutil.Process().open_files()), memory))
    (early, files_early, memory_early), (late, files_late, memory_late) = marks
    assert late <= early
    assert files_late <= files_early
    assert memory_late - memory_early < 100.0
    widget.cleanup()
    host.events()
    assert not workers()
    assert temporary() <= files


def test_a_dozen_runs_with_cancels_and_scene_closes_leave_nothing_behind(
    host: Any, models: Path, add_phantom: Add
) -> None:
    assert models.is_dir()
    soak(host, add_phantom, 12, kills=False, seed=1)


@pytest.mark.slow
def test_a_hundred_runs_with_kills_too_leave_nothing_behind(
    host: Any, models: Path, add_phantom: Add
) -> None:
    assert models.is_dir()
    soak(host, add_phantom, 100, kills=True, seed=2)
