"""All distillation terms by the name that a study file uses.

Convention of every weight: the term is summed over classes and averaged over voxels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from KDSegmentationLogic.distillation.terms.mse_probabilities import mse_probabilities

Term = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

TERMS: dict[str, Term] = {"mse_probabilities": mse_probabilities}
