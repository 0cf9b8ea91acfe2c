"""Cancelling, progress, and what happens where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.errors import Cancelled, DeviceError, OutOfMemoryError
from KDSegmentationLogic.inference.engines import registry
from KDSegmentationLogic.inference.engines.base import EngineMemoryError
from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine
from KDSegmentationLogic.inference.pipeline import Predictor, Result, Settings
from KDSegmentationLogic.inference.predict import Runner, plan_passes, predict
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import CancelToken, Monitor
from Testing.inference.conftest import Limited
from Testing.making import phantom, tell_intensities_apart

Use = Callable[..., list[Limited]]
SETTINGS = Settings(engine="limited", threads=1)


@pytest.fixture
def use_limited(monkeypatch: pytest.MonkeyPatch) -> Use:
    """``use_limited(cpu=1000, mps=0)``: the engine "limited" with voxels a forward by device.

    A device named beside the CPU is the one that the machine seems to have. Returns the list
    of the engines opened.
    """

    def use(**voxels: float) -> list[Limited]:
        opened: list[Limited] = []

        def open_limited(_: Bundle, member: Member, device: str, __: int) -> Limited:
            network = build_network(member.architecture, member.arguments)
            tell_intensities_apart(network)
            engine = Limited(TorchEngine(network, member.temperature), voxels[device], device)
            opened.append(engine)
            return engine

        monkeypatch.setitem(registry.ENGINES, "limited", open_limited)
        first = next(iter(voxels))
        monkeypatch.setattr(
            registry, "choose_device", lambda wanted: (first if wanted == "auto" else wanted, "")
        )
        return opened

    return use


def run(bundle: Bundle, images: Sequence[sitk.Image]) -> tuple[list[Result], list[str]]:
    notices: list[str] = []
    predictor = Predictor(bundle, SETTINGS)
    monitor = Monitor(notice=notices.append)
    return [predictor.segment([image], monitor=monitor) for image in images], notices


def test_windows_shrink_until_they_fit_and_each_step_is_told(
    student_bundle: Bundle, use_limited: Use
) -> None:
    image, truth = phantom()
    engines = use_limited(cpu=8**3)
    [result], notices = run(student_bundle, [image])
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(result.labels), sitk.GetArrayFromImage(truth)
    )
    assert notices == ["Out of memory on cpu: smaller windows."] * 2
    assert result.notices == notices
    tried = [shape[2:] for shape in engines[0].shapes]
    assert tried[:3] == [(16, 20, 24), (16, 16, 16), (8, 8, 8)]
    assert set(tried[2:]) == {(8, 8, 8)}


def test_the_cpu_goes_on_where_the_device_has_no_memory(
    student_bundle: Bundle, use_limited: Use
) -> None:
    image, truth = phantom()
    use_limited(mps=10, cpu=1e9)
    [result], notices = run(student_bundle, [image])
    assert result.device == "cpu"
    assert notices[:-1] == ["Out of memory on mps: smaller windows."] * 3
    assert notices[-1] == "Out of memory on mps: going on with the CPU."
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(result.labels), sitk.GetArrayFromImage(truth)
    )


def test_one_image_too_large_for_the_device_does_not_send_the_next_to_the_cpu(
    student_bundle: Bundle, use_limited: Use
) -> None:
    use_limited(mps=4**3 - 1, cpu=1e9)
    tiny = sitk.Image(2, 2, 2, sitk.sitkInt16)
    results, _ = run(student_bundle, [phantom()[0], tiny])
    assert [result.device for result in results] == ["cpu", "mps"]


def test_the_last_rung_is_an_error_that_says_what_to_do(
    student_bundle: Bundle, use_limited: Use
) -> None:
    engines = use_limited(cpu=10)
    with pytest.raises(OutOfMemoryError, match="even in the smallest windows") as caught:
        run(student_bundle, [phantom()[0]])
    assert "Close other programs" in caught.value.remedy
    assert [shape[2:] for shape in engines[0].shapes] == [
        (16, 20, 24),
        (16, 16, 16),
        (8, 8, 8),
        (4, 4, 4),
    ]


def test_sizes_that_failed_are_not_tried_again(student_bundle: Bundle, use_limited: Use) -> None:
    """Of an image of 4 voxels an axis all windows are alike."""
    engines = use_limited(cpu=10)
    with pytest.raises(OutOfMemoryError):
        run(student_bundle, [phantom((4, 4, 4))[0]])
    assert len(engines[0].shapes) == 1


def test_progress_never_goes_back_and_ends_with_one(
    ensemble_bundle: Bundle, use_limited: Use
) -> None:
    """Also where memory runs out after some windows, in the second member."""
    engines = use_limited(cpu=1e9)
    seen: list[float] = []

    def watch(fraction: float, _: str) -> None:
        seen.append(fraction)
        engines[1]._voxels = 8 * 8 * 8 if len(seen) < 6 else 1e9

    predictor = Predictor(ensemble_bundle, SETTINGS)
    result = predictor.segment([phantom()[0]], monitor=Monitor(watch))
    assert any("smaller windows" in notice for notice in result.notices)
    assert len(seen) > 10
    assert all(a <= b for a, b in pairwise(seen))
    assert seen[-1] == 1.0


def test_cancelling_starts_no_further_window(student_bundle: Bundle, use_limited: Use) -> None:
    engines, image = use_limited(cpu=4**3), phantom((12, 10, 8))[0]
    token, forwards = CancelToken(), []

    def stop(fraction: float, _: str) -> None:
        if fraction > 0.3 and not token.cancelled:
            token.cancel()
            forwards.append(len(engines[0].shapes))

    predictor = Predictor(student_bundle, SETTINGS)
    with pytest.raises(Cancelled):
        predictor.segment([image], monitor=Monitor(stop, cancel=token))
    # the window that was under way already while finished planes were restored
    assert len(engines[0].shapes) - forwards[0] in (0, 1)
    again = predictor.segment([image])  # nothing of the cancelled run is left behind
    assert again.labels.GetSize() == (12, 10, 8)


def test_a_forward_stops_between_two_layers(
    random_runner: Callable[..., Runner],
) -> None:
    token = CancelToken()
    runner = random_runner()
    layers = [m for m in runner.engine._network.modules() if not list(m.children())]  # type: ignore[attr-defined]
    passed: list[int] = []
    for number, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, n=number: passed.append(n))
    layers[3].register_forward_hook(lambda *_: token.cancel())
    passes = plan_passes([runner], (8, 8, 8), 1e12)
    with pytest.raises(Cancelled):
        list(predict(np.zeros((1, 8, 8, 8), np.float32), passes, Monitor(cancel=token)))
    assert passed == [0, 1, 2, 3]
    assert not any(layer._forward_pre_hooks for layer in layers)


class Greedy(SegmentationNetwork):
    """Asks for a petabyte where the image is wider than 64 voxels."""

    def __init__(self) -> None:
        super().__init__(1, 2, (1, 1, 1), (0, 0, 0))
        self.classifier = torch.nn.Conv3d(1, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] > 64:
            torch.empty(2**50, dtype=torch.uint8)
        return self.classifier(x)


def test_torch_without_memory_is_reported_as_such() -> None:
    engine = TorchEngine(Greedy())
    engine.probabilities(np.zeros((1, 1, 1, 1, 64), np.float32), Monitor())
    with pytest.raises(EngineMemoryError, match="memory"):
        engine.probabilities(np.zeros((1, 1, 1, 1, 65), np.float32), Monitor())


class Failing(Greedy):
    """Fails as a library would, after the estimate of its memory."""

    words = ""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.words:
            raise RuntimeError(self.words)
        return self.classifier(x)


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "could not create a memory object",
        "could not create a primitive",
    ],
)
def test_the_words_of_libraries_without_memory_are_known(words: str) -> None:
    engine = TorchEngine(network := Failing())
    network.words = words
    with pytest.raises(EngineMemoryError):
        engine.probabilities(np.zeros((1, 1, 1, 1, 4), np.float32), Monitor())


def test_numpy_without_memory_is_reported_as_such(random_runner: Callable[..., Runner]) -> None:
    huge = np.broadcast_to(np.float32(0), (1, 1, 2**20, 2**20, 2**10))
    with pytest.raises(EngineMemoryError):
        random_runner().engine.probabilities(huge, Monitor())


def test_other_failures_of_torch_are_not_taken_for_a_lack_of_memory(
    random_runner: Callable[..., Runner],
) -> None:
    with pytest.raises(ValueError, match="multiples"):
        random_runner().engine.probabilities(np.zeros((1, 1, 3, 3, 3), np.float32), Monitor())


def test_a_device_that_is_not_there_is_refused_and_never_replaced(student_bundle: Bundle) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceError, match="cuda is not available") as caught:
        Predictor(student_bundle, Settings(device="cuda"))
    assert "auto or cpu" in caught.value.remedy


@pytest.mark.parametrize(
    "settings", [Settings(device="gpu"), Settings(device="cpu", engine="fast")]
)
def test_unknown_names_are_refused_with_the_known_ones(
    settings: Settings, student_bundle: Bundle
) -> None:
    with pytest.raises(DeviceError, match="There is no") as caught:
        Predictor(student_bundle, settings)
    assert "auto" in caught.value.remedy


def test_the_device_chosen_is_told_with_the_reason(student_bundle: Bundle) -> None:
    told: list[str] = []
    Predictor(student_bundle, Settings("cpu", "torch"), Monitor(notice=told.append))
    assert told == ["Running on cpu with torch: chosen by the user; engine chosen by the user."]
