"""What is minimised: losses on labels and distillation terms, weighted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from KDSegmentationLogic.distillation.catalogue import TERMS
from KDSegmentationLogic.errors import TrainingError


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over voxels of -log softmax(logits) at the label. [n, k, ...] and [n, ...]."""
    return functional.cross_entropy(logits.float(), labels)


def soft_dice(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """1 minus the soft Dice over the whole batch, mean over all classes with background.

    Over the batch and not each sample: a class that one patch lacks then still has a
    sensible gradient (as Noothout et al. 2022 do).
    """
    probabilities = torch.softmax(logits.float(), dim=1)
    truth = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(probabilities.dtype)
    axes = (0, *range(2, logits.dim()))
    overlap = (probabilities * truth).sum(axes)
    size = probabilities.sum(axes) + truth.sum(axes)
    return 1 - (2 * overlap / (size + 1e-7)).mean()


LABEL_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": cross_entropy,
    "dice": soft_dice,
}


class Objective:
    """A weighted sum of label losses and distillation terms, by name.

    Raises
    ------
    TrainingError : an unknown name, no term at all, or a negative weight.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        known = [*LABEL_LOSSES, *TERMS]
        for name, weight in weights.items():
            if name not in known:
                raise TrainingError(
                    f"There is no loss called {name}.", f"Choose from: {', '.join(known)}."
                )
            if not weight > 0:
                raise TrainingError(
                    f"The weight of the loss {name} is {weight}.", "Give a weight above zero."
                )
        if not weights:
            raise TrainingError("The training has no loss.", f"Choose from: {', '.join(known)}.")
        self.weights = dict(weights)

    @property
    def needs_teacher(self) -> bool:
        return any(name in TERMS for name in self.weights)

    def __call__(
        self, logits: torch.Tensor, labels: torch.Tensor, soft: torch.Tensor | None
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """The weighted sum, and each part without its weight."""
        total = logits.new_zeros((), dtype=torch.float32)
        parts = {}
        for name, weight in self.weights.items():
            if name in LABEL_LOSSES:
                value = LABEL_LOSSES[name](logits, labels)
            else:
                if soft is None:
                    raise TrainingError(
                        f"The loss {name} needs soft targets.", "Compute them before the training."
                    )
                value = TERMS[name](logits, soft)
            total = total + weight * value
            parts[name] = float(value.detach())
        return total, parts
