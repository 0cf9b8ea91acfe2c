"""GPUs: by faults put in where there is none, and truly where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.errors import DeviceError
from KDSegmentationLogic.inference.engines import registry
from KDSegmentationLogic.inference.engines.base import EngineMemoryError, is_out_of_memory
from KDSegmentationLogic.inference.engines.registry import choose_device
from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor
from Testing.making import phantom

GPUS = [
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    ),
    pytest.param(
        "mps",
        marks=pytest.mark.skipif(
            not torch.backends.mps.is_available(), reason="needs an Apple GPU"
        ),
    ),
]


class Full(SegmentationNetwork):
    """A network whose device has no memory left, in the device's words."""

    words = ""

    def __init__(self) -> None:
        super().__init__(1, 2, (1, 1, 1), (0, 0, 0))
        self.classifier = torch.nn.Conv3d(1, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.words:
            raise torch.OutOfMemoryError(self.words)
        return self.classifier(x)


@pytest.fixture
def emptied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("emptied"))
    return calls


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda", "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8"),
        ("mps", "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB)"),
    ],
)
def test_a_full_gpu_is_reported_as_such_and_its_cache_given_back(
    device: str, words: str, emptied: list[str]
) -> None:
    engine = TorchEngine(network := Full())
    engine.device, network.words = device, words
    batch = np.zeros((1, 1, 2, 2, 2), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)
        with pytest.raises(EngineMemoryError, match="out of memory"):
            engine.logits(batch, Monitor())
    assert emptied == (["emptied"] if device == "cuda" else [])
    assert is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_beside_the_cpu_layers_compute_in_half_precision_channels_last(dimensions: int) -> None:
    """The device "meta" stands for a GPU: it takes networks, and computes shapes alone."""
    arguments: dict[str, Any] = {"in_channels": 1, "classes": 2, "dimensions": dimensions}
    network = build_network("student_unet", {**arguments, "widths": [4, 8]})
    engine = TorchEngine(network, device="meta")
    assert engine._half == torch.float16
    assert TorchEngine(Full())._half is None
    last = torch.channels_last_3d if dimensions == 3 else torch.channels_last
    kernels = [p for p in engine._network.parameters() if p.ndim == dimensions + 2]
    assert {p.device.type for p in kernels} == {"meta"}
    assert all(p.is_contiguous(memory_format=last) for p in kernels)


@pytest.mark.parametrize(
    ("present", "wanted"), [(("cuda",), "cuda"), (("mps",), "mps"), (("cuda", "mps"), "cuda")]
)
def test_a_gpu_that_torch_knows_is_chosen_by_itself(
    present: tuple[str, ...], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in present)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in present)
    assert choose_device("auto")[0] == wanted
    assert choose_device("cpu")[0] == "cpu"
    absent = {"cuda", "mps"} - set(present)
    for device in absent:
        with pytest.raises(DeviceError, match=f"{device} is not available"):
            choose_device(device)


def test_without_a_driver_torch_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> bool:
        raise AssertionError("torch was asked")

    monkeypatch.setattr(registry, "_may_have_gpu", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", asked)
    assert choose_device("auto") == ("cpu", "no GPU found")


@pytest.mark.parametrize("device", GPUS)
def test_a_gpu_gives_the_labels_of_the_cpu(device: str, student_bundle: Bundle) -> None:
    image, truth = phantom()
    result = Predictor(student_bundle, Settings(device)).segment([image])
    assert (result.device, result.engine) == (device, "torch")
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(result.labels), sitk.GetArrayFromImage(truth)
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_truly_full_gpu_goes_on_in_smaller_windows_or_on_the_cpu(
    student_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, truth = phantom()
    predictor = Predictor(student_bundle, Settings("cuda"))
    monkeypatch.setattr(Predictor, "_budget", lambda *_: 1e15)
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        torch.cuda.empty_cache()
        result = predictor.segment([image])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("Out of memory on cuda" in told for told in result.notices)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(result.labels), sitk.GetArrayFromImage(truth)
    )
