"""From tissues to an image: resolution, gamma, bias field and noise of one acquisition."""

from __future__ import annotations

import numpy as np
import torch
import torchio as tio

from KDSegmentationLogic.training.synthesis.contrasts import Drawn
from KDSegmentationLogic.training.synthesis.fields import along_axes, average_matrix, smooth_noise

THICK_SHARE = 0.4
THICKEST_MM = 5.0
BLUR = (1.0, 1.25)  # of the voxel, in the plane
LOG_GAMMA = 0.2
BIAS = 0.2
NOISE = (0.005, 0.035)  # of full brightness
FULL = (300.0, 2000.0)  # stored value of full brightness


def acquire(
    tissues: torch.Tensor,
    step_zyx: tuple[float, float, float],
    voxels_zyx: tuple[int, int, int],
    spacing: float,
    drawn: Drawn,
    draws: np.random.Generator,
) -> np.ndarray:
    """One image, float32 [z, y, x], never below zero.

    Parameters
    ----------
    tissues : int64 [z, y, x], spaced ``step_zyx`` mm.
    voxels_zyx, spacing : of the image, mm; both grids have one centre.
    drawn : what the tissues look like.
    """
    fine = _textured(tissues, drawn)
    matrices = [
        average_matrix(count, step, voxels, spacing, thickness)
        for count, step, voxels, thickness in zip(
            fine.shape, step_zyx, voxels_zyx, _thickness(spacing, draws), strict=True
        )
    ]
    image = along_axes(fine, matrices).clamp_min(0.0)
    image = _with_artefacts(image)
    noise = float(draws.uniform(*NOISE))
    # magnitude images: Rice's distribution (Gudbjartsson and Patz 1995)
    real = image + noise * torch.randn(image.shape)
    image = torch.sqrt(real**2 + (noise * torch.randn(image.shape)) ** 2)
    return (image * float(draws.uniform(*FULL))).numpy()


def _textured(tissues: torch.Tensor, drawn: Drawn) -> torch.Tensor:
    """Each tissue's mean, with variation of two sizes inside it."""
    texture = 0.6 * smooth_noise(tissues.shape, 4) + 0.8 * torch.randn(tissues.shape)
    means, deviations = torch.from_numpy(drawn.means), torch.from_numpy(drawn.deviations)
    return means[tissues] + deviations[tissues] * texture


def _thickness(spacing: float, draws: np.random.Generator) -> list[float]:
    """mm along z, y, x; one axis may have thick slices."""
    result = [spacing * float(draws.uniform(*BLUR)) for _ in range(3)]
    if draws.random() < THICK_SHARE:
        result[int(draws.integers(3))] = float(
            draws.uniform(spacing, max(THICKEST_MM, 1.5 * spacing))
        )
    return result


def _with_artefacts(image: torch.Tensor) -> torch.Tensor:
    """Gamma and bias field, by TorchIO."""
    top = image.max().clamp_min(1e-6)
    # TorchIO's first axis is x; a field over the axes has no sense of direction
    subject = tio.Subject(image=tio.ScalarImage(tensor=(image / top)[None]))
    change = tio.Compose(
        [
            tio.RandomGamma(log_gamma=(-LOG_GAMMA, LOG_GAMMA)),
            tio.RandomBiasField(coefficients=BIAS, order=3),
        ]
    )
    return change(subject).image.data[0].float() * top
