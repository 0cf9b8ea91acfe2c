"""All distillation terms by the name that a study file uses; a new one is one line here.

Convention of every weight: the term is summed over classes and averaged over voxels.
"""

from __future__ import annotations

from KDSegmentationLogic.distillation.terms.base import Term
from KDSegmentationLogic.distillation.terms.deviation import Deviation
from KDSegmentationLogic.distillation.terms.kl import KLDivergence
from KDSegmentationLogic.distillation.terms.mse_probabilities import MseProbabilities

TERMS: dict[str, type[Term]] = {
    "deviation": Deviation,
    "kl": KLDivergence,
    "mse_probabilities": MseProbabilities,
}
"""Their fields are their settings in a study file."""
