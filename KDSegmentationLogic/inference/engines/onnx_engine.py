"""The ONNX Runtime engine: any processor, float32."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.errors import Cancelled
from KDSegmentationLogic.files import sha256_of
from KDSegmentationLogic.inference.engines.base import EngineMemoryError, is_out_of_memory
from KDSegmentationLogic.inference.engines.facts import VERSION, Facts, facts_of_member
from KDSegmentationLogic.inference.engines.head import Head, read_head
from KDSegmentationLogic.inference.engines.openvino_engine import torch_release
from KDSegmentationLogic.inference.engines.runtimes import onnx_runtime
from KDSegmentationLogic.inference.engines.store import kept
from KDSegmentationLogic.progress import Monitor

if TYPE_CHECKING:
    import onnxruntime

_POLL_SECONDS = 0.02
# measured peak by tensors alive in torch: 0.9 (dilated2d) to 2.5 (resnet3d)
_LAYERS_KEEP = 2.5


def open_onnxruntime(bundle: Bundle, member: Member, device: str, threads: int) -> ONNXEngine:
    """A member's engine, from the bundle's ONNX file or one that is kept here (``store``)."""
    assert device == "cpu"
    path, facts, head = bundle.onnx_path(member), facts_of_member(member), None
    if path:
        graph = path.read_bytes()
    else:
        made_of = (
            *(sha256_of(bundle.weight_path(member)), member.architecture, str(member.arguments)),
            *(f"conversion {VERSION}", torch_release()),
        )
        short = facts.features is not None
        graph = kept("onnx", made_of, lambda: _converted(bundle, member, short))
        head = read_head(bundle, member) if short else None
    return ONNXEngine(session_of(graph, threads), facts, member.temperature, head)


def _converted(bundle: Bundle, member: Member, short: bool) -> bytes:
    from KDSegmentationLogic.inference.engines import conversion
    from KDSegmentationLogic.inference.engines.estimate import Logits

    return conversion.to_onnx(Logits(conversion.network_of(bundle, member), short))


def session_of(graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX file's content, ready to run."""
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors come as exceptions
    # the arena would keep the largest window's memory for good
    options.enable_cpu_mem_arena = False
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class ONNXEngine:
    """Runs a session of ONNX Runtime on the CPU; with a ``head`` it ends at its features."""

    name = "onnxruntime"
    device = "cpu"

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        facts: Facts,
        temperature: float = 1.0,
        head: Head | None = None,
    ) -> None:
        self.dimensions, self.divisor, self.stride = facts.dimensions, facts.divisor, facts.stride
        self.classes, self.head = facts.classes, head
        ends = facts.logit_bytes * (head.channels / facts.classes if head else 1)
        self.bytes_per_voxel = _LAYERS_KEEP * facts.layer_bytes + ends
        self._temperature = temperature
        self._session = session

    def logits(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """See ``Engine.logits``."""
        found = self.features(batch, monitor)
        return found if self.head is None else np.stack([self.head(each) for each in found])

    def features(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """See ``Engine.features``; without a head the logits."""
        monitor.check()
        options = onnx_runtime().RunOptions()
        options.log_severity_level = 4
        try:
            with _terminated_when_cancelled(options, monitor):
                [result] = self._session.run(
                    ["logits"], {"image": np.ascontiguousarray(batch)}, options
                )
        except Exception as error:  # its own classes derive from Exception alone
            monitor.check()
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
        """See ``Engine.release``: nothing is kept, since the arena is off."""


@contextlib.contextmanager
def _terminated_when_cancelled(options: onnxruntime.RunOptions, monitor: Monitor) -> Iterator[None]:
    """A thread looks at the cancel token: a run returns to Python only when it is done."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLL_SECONDS):
            try:
                monitor.check()
            except Cancelled:
                options.terminate = True
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
