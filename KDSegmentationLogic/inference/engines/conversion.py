"""From a torch network to the graphs that other engines read.

All graphs take ``image`` [n, c, (z,) y, x] and give ``logits`` [n, k, ...]; n and the spatial
sizes (multiples of the network's divisor) are free.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.bundles.weights import load_network
from KDSegmentationLogic.dependencies import require
from KDSegmentationLogic.inference.engines.folding import fold
from KDSegmentationLogic.inference.engines.runtimes import openvino_runtime

if TYPE_CHECKING:
    import openvino

# 17 has all that the networks need; old enough for the readers of the last years
_OPSET = 17


def network_of(bundle: Bundle, member: Member) -> nn.Module:
    """A member's network, its norms folded, with logits of its input's size."""
    return fold(load_network(bundle, member)).requires_grad_(False)


def to_onnx(module: nn.Module) -> bytes:
    """An ONNX file. ``module`` is a network, or ``Logits`` of one, in evaluation mode.

    Raises
    ------
    DependencyError : the package onnx, which torch needs for it, is missing.
    """
    require("onnx")
    example = _example(module)
    free = {0: "n", **{axis: f"size{axis}" for axis in range(2, example.ndim)}}
    out = {0: "n", **{axis: f"logits{axis}" for axis in range(2, example.ndim)}}
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        # torch's newer exporter needs one more package (onnxscript) for the same graph
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            file,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": free, "logits": out},
            opset_version=_OPSET,
        )
    return file.getvalue()


def to_openvino(module: nn.Module) -> openvino.Model:
    """An OpenVINO model in float32; ``module`` as for ``to_onnx``.

    By way of ONNX: OpenVINO's own conversion takes five times as long (3.9 s to 0.7 s), and
    tells its makers of each call unless the user has forbidden it.

    Raises
    ------
    DependencyError : the package openvino or onnx is missing.
    """
    require("openvino", "onnx")
    return openvino_runtime().Core().read_model(to_onnx(module))


def to_torchscript(module: nn.Module) -> bytes:
    """A TorchScript file; ``module`` as for ``to_onnx``."""
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, _example(module)), file)
    return file.getvalue()


def _example(module: nn.Module) -> torch.Tensor:
    """A small image; sizes differ so that no axis is taken for another."""
    network: Any = getattr(module, "network", module)
    size = [d * (2 + axis) for axis, d in enumerate(network.divisor)]
    return torch.zeros(1, network.in_channels, *size)
