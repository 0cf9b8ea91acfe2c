"""All distillation terms by the name that a study file uses; a new one is one line here.

Convention of every weight: the term is summed over classes and averaged over voxels.
"""

from __future__ import annotations

from KDSegmentationLogic.distillation.terms.attention import AttentionTransfer
from KDSegmentationLogic.distillation.terms.base import Term
from KDSegmentationLogic.distillation.terms.boundary_kl import BoundaryKL
from KDSegmentationLogic.distillation.terms.channel_wise import ChannelWise
from KDSegmentationLogic.distillation.terms.class_affinity import ClassAffinity
from KDSegmentationLogic.distillation.terms.correlation import Correlation
from KDSegmentationLogic.distillation.terms.deviation import Deviation
from KDSegmentationLogic.distillation.terms.i2fv import PrototypeVariation
from KDSegmentationLogic.distillation.terms.kl import KLDivergence
from KDSegmentationLogic.distillation.terms.kl_standardised import StandardisedKL
from KDSegmentationLogic.distillation.terms.masked_boundary import MaskedBoundary
from KDSegmentationLogic.distillation.terms.mse_probabilities import MseProbabilities
from KDSegmentationLogic.distillation.terms.region_affinity import RegionAffinity
from KDSegmentationLogic.distillation.terms.region_graph import RegionGraph
from KDSegmentationLogic.distillation.terms.variation_graph import VariationGraph

TERMS: dict[str, type[Term]] = {
    "attention": AttentionTransfer,
    "boundary_kl": BoundaryKL,
    "channel_wise": ChannelWise,
    "class_affinity": ClassAffinity,
    "deviation": Deviation,
    "dist": Correlation,
    "i2fv": PrototypeVariation,
    "kl": KLDivergence,
    "kl_standardised": StandardisedKL,
    "masked_boundary": MaskedBoundary,
    "mse_probabilities": MseProbabilities,
    "region_affinity": RegionAffinity,
    "region_graph": RegionGraph,
    "variation_graph": VariationGraph,
}
"""Their fields are their settings in a study file."""
