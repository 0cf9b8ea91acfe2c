"""Networks with random weights and engines that fail when a test wants them to."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from KDSegmentationLogic.bundles.description import NO_SUM, Member
from KDSegmentationLogic.inference.engines import conversion
from KDSegmentationLogic.inference.engines.base import Engine, EngineMemoryError
from KDSegmentationLogic.inference.engines.estimate import Logits, facts_of
from KDSegmentationLogic.inference.engines.folding import fold
from KDSegmentationLogic.inference.engines.head import Head
from KDSegmentationLogic.inference.engines.runtimes import openvino_runtime
from KDSegmentationLogic.inference.engines.torch_engine import TorchEngine
from KDSegmentationLogic.inference.predict import Runner
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def random_runner() -> Callable[..., Runner]:
    """``random_runner(seed, dimensions=2, views=("axial",), patch=(8, 8))``: random weights."""

    def build(seed: int = 0, dimensions: int = 3, **changes: Any) -> Runner:
        torch.manual_seed(seed)
        arguments = {"in_channels": 1, "classes": 3, "dimensions": dimensions, "widths": [4, 8]}
        network = build_network("student_unet", arguments)
        settings: dict[str, Any] = {"patch": (16,) * dimensions, **changes}
        member = Member("student_unet", arguments, "models/model.safetensors", NO_SUM, **settings)
        return Runner(member, TorchEngine(network, member.temperature))

    return build


class Limited:
    """An engine that runs another one and has memory for ``voxels`` at a time, no more."""

    name = "limited"

    def __init__(self, engine: TorchEngine, voxels: float, device: str = "cpu") -> None:
        self._engine, self._voxels = engine, voxels
        self.device = device
        self.dimensions, self.divisor = engine.dimensions, engine.divisor
        self.stride, self.head = engine.stride, engine.head
        self.classes, self.bytes_per_voxel = engine.classes, engine.bytes_per_voxel
        self.shapes: list[tuple[int, ...]] = []

    def logits(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        self._look(batch)
        return self._engine.logits(batch, monitor)

    def features(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        return self.logits(batch, monitor)

    def probabilities(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        self._look(batch)
        return self._engine.probabilities(batch, monitor)

    def release(self) -> None:
        self._engine.release()

    def _look(self, batch: np.ndarray) -> None:
        self.shapes.append(batch.shape)
        if batch.size > self._voxels:
            raise EngineMemoryError(f"{batch.size} voxels")


@pytest.fixture
def limited() -> type[Limited]:
    return Limited


def open_network(name: str, network: torch.nn.Module, temperature: float = 1.0) -> Engine:
    """An engine as it is opened for a bundle, of a network without one; on one thread."""
    if name == "torch":
        return TorchEngine(fold(copy.deepcopy(network)), temperature)
    facts = facts_of(network)
    module = Logits(fold(copy.deepcopy(network)), facts.features is not None)
    head = _head_of(network) if facts.features else None
    if name == "openvino":
        from KDSegmentationLogic.inference.engines.openvino_engine import (
            OpenVINOEngine,
            settings_of,
        )

        model, core = conversion.to_openvino(module), openvino_runtime().Core()
        return OpenVINOEngine(
            lambda: core.compile_model(model, "CPU", settings_of(1)), facts, temperature, head
        )
    from KDSegmentationLogic.inference.engines.onnx_engine import ONNXEngine, session_of

    return ONNXEngine(session_of(conversion.to_onnx(module), 1), facts, temperature, head)


def _head_of(network: torch.nn.Module) -> Head:
    weights, bias = (p.detach().numpy().astype(np.float32) for p in network.classifier.parameters())
    return Head(weights.reshape(weights.shape[:2]), bias)


@pytest.fixture
def engine_of() -> Callable[[str, torch.nn.Module], Engine]:
    """``engine_of("openvino", network)``, of temperature 1.7; skips where it is not installed."""

    def build(name: str, network: torch.nn.Module) -> Engine:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}")
        return open_network(name, network, 1.7)

    return build
