"""All distillation terms by the name that a study file uses.

Convention of every weight: the term is summed over classes and averaged over voxels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from KDSegmentationLogic.distillation.terms.deviation import Deviation
from KDSegmentationLogic.distillation.terms.kl import KLDivergence
from KDSegmentationLogic.distillation.terms.mse_probabilities import MseProbabilities

Term = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

TERMS: dict[str, type] = {"mse_probabilities": MseProbabilities, "kl": KLDivergence}
"""Terms of the student's logits and the teacher's probabilities; their fields are settings."""

DEVIATION = "deviation"
"""Of the student's second head and the standard deviation over the teacher's members."""

HEADS: dict[str, type] = {DEVIATION: Deviation}
