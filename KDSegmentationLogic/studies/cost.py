"""What a model costs: parameters, multiply-accumulates, bytes, seconds and memory."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import psutil
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.weights import load_network
from KDSegmentationLogic.child import in_child
from KDSegmentationLogic.inference.engines.head import Head
from KDSegmentationLogic.inference.engines.registry import available_cores
from KDSegmentationLogic.inference.peak import PeakMemory
from KDSegmentationLogic.inference.pipeline import Predictor
from KDSegmentationLogic.inference.predict import Runner, plan_passes, predict
from KDSegmentationLogic.inference.preprocess import preprocess
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.studies.results import Cost
from KDSegmentationLogic.training.cases import read_images
from KDSegmentationLogic.training.dataset import CaseFiles


def measure_cost(bundle: Bundle, cases: Sequence[CaseFiles], monitor: Monitor) -> Cost:
    """Segment the cases in a process of its own and say what it took.

    Parameters
    ----------
    cases : at least one; the first is segmented twice, and its first time counts for memory only.
    """
    return in_child(_measure, (bundle, tuple(cases)), monitor)


def _measure(work: tuple[Bundle, tuple[CaseFiles, ...]], monitor: Monitor) -> Cost:
    bundle, cases = work
    load = psutil.getloadavg()[0]
    with PeakMemory() as memory:
        predictor = Predictor(bundle)
        predictor.segment(read_images(cases[0], Monitor()))
    total, network, cpu = [], [], []
    for number, case in enumerate(cases, 1):
        images = read_images(case, Monitor())
        start, worked = time.perf_counter(), time.process_time()
        outcome = predictor.segment(images)
        cpu.append(time.process_time() - worked)
        total.append(time.perf_counter() - start)
        network.append(outcome.seconds["predict"])
        monitor.report(number / len(cases), f"{bundle.name}: timing {case.name}")
    networks = [load_network(bundle, member) for member in bundle.description.members]
    return Cost(
        parameters=sum(p.numel() for one in networks for p in one.parameters()),
        macs=case_macs(bundle, networks, cases[0]),
        file_bytes=sum(
            bundle.weight_path(member).stat().st_size for member in bundle.description.members
        ),
        seconds=float(np.median(total)),
        network_seconds=float(np.median(network)),
        cpu_seconds=float(np.median(cpu)),
        cases=len(cases),
        timed_on=cases[0].name,
        peak_memory_gib=round(memory.gib, 3),
        threads=torch.get_num_threads(),
        cores=available_cores(),
        device=outcome.device,
        engine=outcome.engine,
        load=round(load, 2),
    )


def case_macs(bundle: Bundle, networks: Sequence[nn.Module], case: CaseFiles) -> float:
    """Multiply-accumulates of a bundle's networks for a case, as ``predict`` would run them.

    The networks become empty shells (torch's meta device): nothing is computed but sizes.
    """
    description = bundle.description
    images = read_images(case, Monitor())
    array = preprocess(images, description.channels, description.grid).array
    counters = [MacCounter(network) for network in networks]
    pairs = zip(description.members, counters, strict=True)
    runners = [Runner(member, counter) for member, counter in pairs]
    _, z, y, x = array.shape
    for _ in predict(array, plan_passes(runners, (z, y, x), float("inf")), Monitor()):
        pass
    return sum(counter.macs for counter in counters)


class MacCounter:
    """An engine (``inference.engines.base.Engine``) that counts instead of computing.

    ``macs``: of all forwards so far, as torch counts them: convolutions and matrix products,
    two operations a multiply-accumulate; biases, normalisation and activations are not counted.
    """

    name = "counter"
    device = "meta"
    head: Head | None = None
    bytes_per_voxel = 0.0

    def __init__(self, network: nn.Module) -> None:
        self.dimensions = int(network.dimensions)  # type: ignore[arg-type]
        self.divisor = tuple(network.divisor)  # type: ignore[arg-type]
        self.stride = (1,) * self.dimensions
        self.classes = int(network.classes)  # type: ignore[arg-type]
        self.macs = 0.0
        self._network = network.to("meta").eval()
        self._known: dict[tuple[int, ...], float] = {}

    def probabilities(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """As ``logits``."""
        return self.logits(batch, monitor)

    def features(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:
        """As ``logits``."""
        return self.logits(batch, monitor)

    def logits(self, batch: np.ndarray, monitor: Monitor) -> np.ndarray:  # noqa: ARG002
        """Zeros of the shape that the network's answer has at the input's resolution."""
        if batch.shape not in self._known:
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                self._network(torch.empty(batch.shape, device="meta"))
            self._known[batch.shape] = counter.get_total_flops() / 2
        self.macs += self._known[batch.shape]
        return np.zeros((len(batch), self.classes, *batch.shape[2:]), np.float32)

    def release(self) -> None:
        """Nothing is held."""
