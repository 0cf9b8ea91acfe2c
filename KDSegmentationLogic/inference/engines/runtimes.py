"""The packages of other engines, imported so that they do not report home.

Standard library only. They tell their makers, over the network, of each import and of what they
run, unless they are stopped first. Import them here and nowhere else.
"""

from __future__ import annotations

import os
import sys
from typing import Any


def openvino_runtime() -> Any:
    """The package openvino, as it is where its optional package for reports is not installed."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def onnx_runtime() -> Any:
    """The package onnxruntime, which reads this variable when it is imported (since 1.29)."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def nncf_package() -> Any:
    """The package nncf, which reports through the package that ``openvino_runtime`` leaves out."""
    openvino_runtime()
    if "nncf" not in sys.modules:
        # where openvino was imported by others, that package may be there
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import nncf

    return nncf
