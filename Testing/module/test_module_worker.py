"""The panels with the real worker: cancelled, killed, left behind by its volume or its scene."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from Testing.module.acting import finish, names, segment, segmentations
from Testing.module.conftest import ready

Add = Callable[..., Any]


@pytest.fixture
def widget(host: Any, models: Path) -> Any:  # noqa: ARG001
    widget = host.open()
    ready(widget, "Tiny-ensemble")
    return widget


@pytest.fixture
def large(host: Any, widget: Any, add_phantom: Add) -> Any:
    """A volume that keeps the ensemble busy for seconds."""
    volume = add_phantom("Large", size=(128, 128, 128))
    host.events()
    assert widget.board.volumes() == [volume]
    return volume


def workers() -> list[psutil.Process]:
    """Our workers that are alive; earlier tests may have left helpers of multiprocessing."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "KDSegmentationLogic.worker" in child.cmdline():  # empty of a zombie
                found.append(child)
    return found


def temporary() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).glob("kdseg*")}


def start(host: Any, widget: Any) -> None:
    """Press Segment, and wait until the worker is at it."""
    host.click(widget.runPanel.button)
    host.wait_until(lambda: not widget.runs.tasks or widget.runs.current.fraction > 0, 120)
    assert widget.runs.tasks, widget.runPanel.message.text


def test_cancel_and_a_dead_worker_leave_the_scene_as_it_was_and_the_next_run_works(
    host: Any, widget: Any, large: Any, add_phantom: Add
) -> None:
    start(host, widget)
    assert widget.runPanel.button.text == "Cancel"
    assert widget.runPanel.bar.visible
    host.click(widget.runPanel.button)
    finish(host, widget, 5)
    assert not segmentations()
    assert widget.runPanel.button.text == "Segment"

    start(host, widget)
    for worker in workers():
        worker.kill()
    finish(host, widget, 30)
    assert not segmentations()
    message = widget.board.message
    assert message.cause
    assert message.remedy

    small = add_phantom("Small")
    widget.board.change(volumes=(small.GetID(),))
    segment(host, widget)
    assert names(widget) == ["anterior", "posterior"]
    del large


def test_a_worker_that_does_not_give_up_is_ended_though_nothing_runs_any_more(
    host: Any, widget: Any, large: Any
) -> None:
    start(host, widget)
    worker = workers()[-1]
    worker.suspend()
    host.click(widget.runPanel.button)
    finish(host, widget, 5)
    assert widget.runs.timer.active
    host.wait_until(lambda: not widget.runs.timer.active, 5)
    assert not workers()
    del large


def test_results_for_what_is_gone_are_dropped(host: Any, widget: Any, large: Any) -> None:
    import slicer

    start(host, widget)
    slicer.mrmlScene.RemoveNode(large)
    finish(host, widget, 120)
    assert not segmentations()
    assert widget.runPanel.message.text


def test_a_scene_closed_in_mid_run_stays_empty_and_nothing_is_left_after_the_end(
    host: Any, widget: Any, large: Any
) -> None:
    start(host, widget)
    host.close_scene()
    finish(host, widget, 30)
    assert not segmentations()
    host.wait_until(lambda: not widget.runs.timer.active, 5)
    widget.cleanup()
    host.events()
    assert not workers()
    del large


def test_a_reload_in_mid_run_ends_the_worker_and_leaves_no_file(
    host: Any, models: Path, add_phantom: Add
) -> None:
    before = temporary()
    widget = host.open()
    ready(widget, "Tiny-ensemble")
    add_phantom("Large", size=(128, 128, 128))
    host.events()
    start(host, widget)
    assert workers()
    host.reload()
    host.events()
    assert not workers()
    assert not segmentations()
    assert temporary() <= before
    del models
