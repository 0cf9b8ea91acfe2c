"""Networks in reduced precision: made by NNCF, and run only where a bundle carries their check."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Member
from KDSegmentationLogic.dependencies import require
from KDSegmentationLogic.errors import DeviceError
from KDSegmentationLogic.inference.engines.runtimes import nncf_package

PACKAGES = ("nncf", "openvino", "onnx", "onnxruntime")


def as_reduced(bundle: Bundle) -> Bundle:
    """The bundle with its networks of reduced precision in place of the others.

    Raises
    ------
    DeviceError : it has none whose agreement with float32 was checked on real cases.
    """
    members = []
    for member in bundle.description.members:
        if member.reduced is None:
            raise DeviceError(
                f"{bundle.name} has no network in reduced precision that was checked on real"
                " cases.",
                f"Leave out reduced precision, or make one: kdseg export {bundle.name} --to int8.",
            )
        members.append(replace(member, onnx=member.reduced.file, reduced=None))
    described = replace(bundle.description, members=tuple(members))
    return replace(bundle, description=described)


def quantise(bundle: Bundle, member: Member, batches: Sequence[np.ndarray], path: Path) -> None:
    """Write a member's network as an ONNX file of 8-bit integers.

    Convolutions' weights and inputs become 8-bit; biases are corrected on the batches
    (post-training quantisation of NNCF, with its defaults).

    Parameters
    ----------
    batches : prepared images, float32 [1, c, (z,) y, x], sizes multiples of the network's
        divisor; a few real cases.

    Raises
    ------
    DependencyError : a package that this needs is missing.
    """
    require(*PACKAGES)
    from KDSegmentationLogic.inference.engines import conversion
    from KDSegmentationLogic.inference.engines.estimate import Logits

    with contextlib.redirect_stdout(io.StringIO()):  # its bars
        import onnx

        nncf = nncf_package()
        graph = conversion.to_onnx(Logits(conversion.network_of(bundle, member)))
        model = onnx.load_model_from_string(graph)
        data = nncf.Dataset([{"image": batch} for batch in batches])
        onnx.save(nncf.quantize(model, data, subset_size=len(batches)), str(path))
