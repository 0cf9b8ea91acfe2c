"""From logits at a network's own resolution to probabilities at its input's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional


def probabilities_of(logits: torch.Tensor, stride: Sequence[int], temperature: float) -> np.ndarray:
    """Interpolated, divided by the temperature, softmax over the classes.

    Parameters
    ----------
    logits : [n, k, (z,) y, x] on any device; may be overwritten.

    Returns
    -------
    float32 [n, k, ...], the spatial sizes times ``stride``.
    """
    if set(stride) != {1}:
        logits = functional.interpolate(
            logits,
            scale_factor=tuple(float(s) for s in stride),
            mode="trilinear" if len(stride) == 3 else "bilinear",
            align_corners=False,
        )
    # in place: with twenty classes each copy is 80 bytes a voxel
    logits = logits.float().contiguous()
    logits /= temperature
    logits -= logits.amax(1, keepdim=True)
    logits.exp_()
    logits /= logits.sum(1, keepdim=True)
    return logits.cpu().numpy()
