"""The OpenVINO engine: the fastest on a processor, in float32."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.files import sha256_of
from KDSegmentationLogic.inference.engines.base import EngineMemoryError, is_out_of_memory
from KDSegmentationLogic.inference.engines.facts import VERSION, Facts, facts_of_member
from KDSegmentationLogic.inference.engines.head import Head, read_head
from KDSegmentationLogic.inference.engines.runtimes import openvino_runtime
from KDSegmentationLogic.inference.engines.store import kept
from KDSegmentationLogic.progress import Monitor

if TYPE_CHECKING:
    import openvino

_POLL_MS = 20
# measured peak by tensors alive in torch: 0.9 (student_unet, dilated2d) to 1.54 (resnet3d)
_LAYERS_KEEP = 1.6


def open_openvino(bundle: Bundle, member: Member, device: str, threads: int) -> OpenVINOEngine:
    """A member's engine. Its compiled network is kept on this machine (``store``).

    Compiling takes a tenth of a second, converting to what is compiled one to four.
    """
    runtime = openvino_runtime()
    core, settings = runtime.Core(), settings_of(threads)
    facts = facts_of_member(member)
    short = facts.features is not None and member.onnx is None  # a bundle's file has all layers

    def compiled() -> bytes:
        model = core.compile_model(_model(core, bundle, member, short), device.upper(), settings)
        return model.export_model().getvalue()

    onnx = member.onnx.sha256 if member.onnx else "none"
    made_of = (
        *(sha256_of(bundle.weight_path(member)), onnx, member.architecture, str(member.arguments)),
        *(f"conversion {VERSION}", runtime.__version__, torch_release()),
        str(core.get_property("CPU", "FULL_DEVICE_NAME")),
    )

    def opened() -> openvino.CompiledModel:
        blob = kept("openvino", made_of, compiled)
        return core.import_model(io.BytesIO(blob), device.upper(), settings)

    head = read_head(bundle, member) if short else None
    return OpenVINOEngine(opened, facts, member.temperature, head)


def settings_of(threads: int) -> dict[str, Any]:
    """OpenVINO's own settings for one forward at a time."""
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 on processors that have it
        "ENABLE_CPU_PINNING": False,  # others compute on the same cores
    }


def _model(core: openvino.Core, bundle: Bundle, member: Member, short: bool) -> openvino.Model:
    path = bundle.onnx_path(member)
    if path:
        return core.read_model(path)
    from KDSegmentationLogic.inference.engines import conversion
    from KDSegmentationLogic.inference.engines.estimate import Logits

    return conversion.to_openvino(Logits(conversion.network_of(bundle, member), short))


def torch_release() -> str:
    """The release of torch, which is not imported for that; empty where it is not installed."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


class OpenVINOEngine:
    """Runs a compiled network on the CPU.

    Parameters
    ----------
    opened : compiles the network, or reads it compiled. Called again after a forward that did
        not come to its end: the compiled network then keeps half of the shapes of that forward.
    head : where the compiled network ends at its features.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        opened: Callable[[], openvino.CompiledModel],
        facts: Facts,
        temperature: float = 1.0,
        head: Head | None = None,
    ) -> None:
        self.dimensions, self.divisor, self.stride = facts.dimensions, facts.divisor, facts.stride
        self.classes, self.head = facts.classes, head
        self._channels = head.channels if head else facts.classes
        ends = facts.logit_bytes * self._channels / facts.classes
        self.bytes_per_voxel = _LAYERS_KEEP * facts.layer_bytes + ends
        self._temperature = temperature
        self._opened = opened
        self._model: openvino.CompiledModel | None = opened()

    def logits(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """See ``Engine.logits``."""
        found = self.features(batch, monitor)
        return found if self.head is None else np.stack([self.head(each) for each in found])

    def features(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """See ``Engine.features``; without a head the logits."""
        sizes = [n // s for n, s in zip(batch.shape[2:], self.stride, strict=True)]
        try:
            result = np.empty((len(batch), self._channels, *sizes), np.float32)
            self._run(np.ascontiguousarray(batch), result, monitor)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise EngineMemoryError(str(error)) from error
        return result

    def probabilities(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """See ``Engine.probabilities``."""
        import torch

        from KDSegmentationLogic.inference.engines.softmax import probabilities_of

        logits = torch.from_numpy(self.logits(batch, monitor))
        return probabilities_of(logits, self.stride, self._temperature)

    def release(self) -> None:
        """See ``Engine.release``; the layers' outputs, 160 MB after 160 cubed voxels."""
        if self._model:
            self._model.release_memory()

    def _run(self, batch: np.ndarray, result: np.ndarray, monitor: Monitor) -> None:
        model = self._model or self._opened()
        self._model = None  # until this forward has come to its end
        request: Any = model.create_infer_request()
        tensor = openvino_runtime().Tensor
        request.set_input_tensor(tensor(batch, shared_memory=True))
        request.set_output_tensor(tensor(result, shared_memory=True))
        request.start_async()
        try:
            while not request.wait_for(_POLL_MS):
                monitor.check()
        except BaseException:
            request.cancel()
            with contextlib.suppress(RuntimeError):  # it says that it was cancelled
                request.wait()
            raise
        self._model = model
