"""Many cases through one model: what runs beside what, and what a bad or fatal case costs."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import SimpleITK as sitk

from KDSegmentationLogic.errors import Cancelled, ImageError, OutOfMemoryError
from KDSegmentationLogic.inference.cohort import Outcome, run_items
from KDSegmentationLogic.inference.cohort_processes import Lane, lanes_of, run_in_processes
from KDSegmentationLogic.inference.pipeline import GIB, Settings
from KDSegmentationLogic.progress import CancelToken, Monitor

SOON = 20.0  # seconds after which a thread that was to come has not


@dataclass
class Noted:
    """A case that notes what is done with it; ``hooks`` are called by the name of the step."""

    name: str
    log: list[str]
    hooks: dict[str, Callable[[], Any]] = field(default_factory=dict)
    size: int = 0

    def size_in_memory(self) -> int:
        return self.size

    def _step(self, step: str) -> None:
        self.log.append(f"{step} {self.name}")
        self.hooks.get(step, lambda: None)()

    def read(self, _: Monitor) -> list[Any]:
        self._step("read")
        return []

    def segment(self, predictor: Any, _images: Any, _: Monitor) -> Any:
        self.log.append(f"limit {predictor.settings.memory_limit_gib}")
        self._step("segment")

    def write(self, _: Any) -> dict[str, Any]:
        self._step("write")
        return {"name": self.name}


def run(items: Sequence[Any], settings: Settings | None = None, **more: Any) -> list[Outcome]:
    outcomes: list[Outcome] = []
    predictor: Any = SimpleNamespace(settings=settings or Settings())
    run_items(predictor, list(enumerate(items)), Monitor(), outcomes.append, **more)
    return outcomes


def fail() -> None:
    raise ImageError("The case is damaged.", "Take it away.")


def test_the_next_is_read_and_the_last_written_during_inference() -> None:
    log: list[str] = []
    read, written = threading.Event(), threading.Event()

    def both() -> None:
        assert read.wait(SOON)
        assert written.wait(SOON)

    items = [
        Noted("a", log, {"write": written.set}),
        Noted("b", log, {"segment": both}),
        Noted("c", log, {"read": read.set}),
    ]
    assert [outcome.error for outcome in run(items)] == [None] * 3


def test_no_more_than_one_case_is_read_ahead() -> None:
    log: list[str] = []
    ahead: list[int] = []

    def count() -> None:
        ahead.append(sum(line.startswith("read") for line in log))

    items = [Noted(str(n), log, {"segment": count}) for n in range(6)]
    run(items)
    assert all(number <= n + 2 for n, number in enumerate(ahead))


@pytest.mark.parametrize("step", ["read", "segment", "write"])
def test_a_case_that_fails_at_any_step_stops_no_other(step: str) -> None:
    log: list[str] = []
    items = [Noted("a", log), Noted("b", log, {step: fail}), Noted("c", log)]
    outcomes = {outcome.number: outcome for outcome in run(items)}
    assert [outcomes[n].error is None for n in range(3)] == [True, False, True]
    assert str(outcomes[1].error) == "The case is damaged. Take it away."


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Cancelled])
def test_a_stop_lets_the_case_that_is_being_written_be_finished(stop: type[BaseException]) -> None:
    log: list[str] = []
    outcomes: list[Outcome] = []

    def halt() -> None:
        raise stop

    items = [Noted("a", log), Noted("b", log, {"segment": halt}), Noted("c", log)]
    predictor: Any = SimpleNamespace(settings=Settings())
    with pytest.raises(stop):
        run_items(predictor, list(enumerate(items)), Monitor(), outcomes.append)
    assert [outcome.record for outcome in outcomes] == [{"name": "a"}]
    assert "write b" not in log
    assert "segment c" not in log


def test_the_memory_limit_counts_the_case_that_is_read_ahead() -> None:
    log: list[str] = []
    items = [Noted("a", log), Noted("b", log, size=GIB // 8), Noted("c", log, size=GIB)]
    run(items, Settings(memory_limit_gib=1.0))
    assert [line for line in log if line.startswith("limit")] == [
        "limit 0.875",
        "limit 1.0",
        "limit 1.0",
    ]
    assert log.index("read c") > log.index("segment b")  # too large to be read ahead


def test_progress_grows_from_case_to_case() -> None:
    seen: list[float] = []
    items = [Noted(str(n), []) for n in range(4)]
    predictor: Any = SimpleNamespace(settings=Settings())
    monitor = Monitor(lambda fraction, _: seen.append(fraction))
    run_items(predictor, list(enumerate(items)), monitor, lambda _: None, total=4)
    assert seen == [0.0, 0.25, 0.5, 0.75]


def test_one_process_needs_no_other() -> None:
    assert lanes_of(Settings(), None, []) == []
    assert lanes_of(Settings(), 1, []) == []


def test_processes_share_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("KDSegmentationLogic.inference.cohort_processes.available_cores", lambda: 7)
    lanes = lanes_of(Settings(memory_limit_gib=6.0), 3, [])
    assert lanes == [Lane(Settings(threads=2, memory_limit_gib=2.0))] * 3
    assert lanes_of(Settings(), 9, [])[0].settings.threads == 1
    assert lanes_of(Settings(threads=4), 2, [])[0].settings.threads == 4


def test_each_gpu_gets_a_process_that_sees_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices = ["cuda:0", "cuda:1"]
    lanes = lanes_of(Settings(), None, devices)
    assert [(lane.visible, lane.settings.device) for lane in lanes] == [
        ("0", "cuda"),
        ("1", "cuda"),
    ]
    assert [lane.visible for lane in lanes_of(Settings(), 3, devices)] == ["0", "1", "0"]


def test_gpus_that_were_hidden_stay_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-7f")
    lanes = lanes_of(Settings(), None, ["cuda:0", "cuda:1"])
    assert [lane.visible for lane in lanes] == ["3", "GPU-7f"]


@dataclass(frozen=True)
class Told:
    """A case for another process."""

    name: str
    file: Path
    fatal: bool = False

    def size_in_memory(self) -> int:
        return 0

    def read(self, _: Monitor) -> list[sitk.Image]:
        return [sitk.GaussianSource(sitk.sitkFloat32, (16, 16, 12), (4, 4, 3), (8, 8, 6))]

    def segment(self, predictor: Any, images: list[sitk.Image], monitor: Monitor) -> Any:
        if self.fatal:
            os._exit(137)  # as the system ends a process for want of memory
        return predictor.segment(images, None, monitor)

    def write(self, result: Any) -> dict[str, Any]:
        self.file.touch()
        return {"seen": os.environ.get("CUDA_VISIBLE_DEVICES"), "device": result.device}


def _told(folder: Path, fatal: str = "") -> list[tuple[int, Told]]:
    return [(n, Told(str(n), folder / str(n), fatal == str(n))) for n in range(3)]


def test_a_case_that_kills_its_process_costs_itself_alone(student_bundle, tmp_path) -> None:
    outcomes: dict[int, Outcome] = {}
    lanes = [Lane(Settings(threads=1))]
    run_in_processes(
        student_bundle.folder,
        lanes,
        _told(tmp_path, fatal="1"),
        Monitor(),
        lambda outcome: outcomes.__setitem__(outcome.number, outcome),
    )
    assert sorted(outcomes) == [0, 1, 2]
    assert [n for n, outcome in outcomes.items() if outcome.error] == [1]
    assert isinstance(outcomes[1].error, OutOfMemoryError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2"]


def test_a_process_sees_the_gpu_of_its_lane(student_bundle, tmp_path) -> None:
    records: list[Any] = []
    lane = Lane(Settings(device="cpu", threads=1), visible="5")
    tell: Callable[[Outcome], None] = lambda outcome: records.append(outcome.record)  # noqa: E731
    run_in_processes(student_bundle.folder, [lane], _told(tmp_path)[:1], Monitor(), tell)
    assert records == [{"seen": "5", "device": "cpu"}]


def test_a_model_that_no_process_can_load_is_said_once(student_bundle, tmp_path) -> None:
    lane = Lane(dataclasses.replace(Settings(), engine="no such engine"))
    with pytest.raises(Exception, match="no such engine"):
        run_in_processes(
            student_bundle.folder, [lane, lane], _told(tmp_path), Monitor(), lambda _: None
        )
    assert list(tmp_path.iterdir()) == []


def test_a_cancel_ends_the_processes_and_tells_what_is_done(student_bundle, tmp_path) -> None:
    token = CancelToken()
    told: list[str] = []

    def tell(outcome: Outcome) -> None:
        told.append(str(outcome.number))
        token.cancel()

    lanes = [Lane(Settings(threads=1))]
    with pytest.raises(Cancelled):
        run_in_processes(student_bundle.folder, lanes, _told(tmp_path), Monitor(cancel=token), tell)
    assert sorted(told) == sorted(path.name for path in tmp_path.iterdir())
