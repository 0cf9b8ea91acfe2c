"""What is minimised: losses on labels and distillation terms, weighted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from KDSegmentationLogic.bundles.decoding import DecodingError, decode
from KDSegmentationLogic.distillation.catalogue import DEVIATION, HEADS, TERMS, Term
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


@dataclass(frozen=True)
class Target:
    """What a batch is compared with.

    labels : int64 [n, ...]. soft : the teacher's probabilities [n, k, ...]; deviation : the
    standard deviation over its members, likewise.
    """

    labels: torch.Tensor
    soft: torch.Tensor | None = None
    deviation: torch.Tensor | None = None


class Objective:
    """A weighted sum of label losses and distillation terms, by name.

    Parameters
    ----------
    losses : a weight, or an object with ``weight`` and the settings of that term:
        ``{"dice": 1.0, "kl": {"weight": 0.5, "temperature": 4.0}}``.

    Raises
    ------
    TrainingError : an unknown name or setting, no term at all, or a weight not above zero.
    """

    def __init__(self, losses: Mapping[str, Any]) -> None:
        if not losses:
            raise TrainingError("The training has no loss.", f"Choose from: {_listed()}.")
        self.weights: dict[str, float] = {}
        self._terms: dict[str, Term] = {}
        for name, entry in losses.items():
            if name not in (*LABEL_LOSSES, *TERMS, *HEADS):
                raise TrainingError(
                    f"There is no loss called {name}.", f"Choose from: {_listed()}."
                )
            settings = dict(entry) if isinstance(entry, Mapping) else {"weight": entry}
            weight = settings.pop("weight", None)
            if not (isinstance(weight, (int, float)) and 0 < weight < math.inf):
                raise TrainingError(
                    f"The weight of the loss {name} is {weight}.", "Give a weight above zero."
                )
            self.weights[name] = float(weight)
            self._terms[name] = _term(name, settings)

    @property
    def needs_teacher(self) -> bool:
        return any(name in TERMS or name in HEADS for name in self.weights)

    @property
    def needs_deviation(self) -> bool:
        """Whether the network needs its second head, and the targets a deviation."""
        return DEVIATION in self.weights

    def __call__(
        self, logits: torch.Tensor, target: Target, deviation: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted sum, and each part without its weight.

        Parameters
        ----------
        logits : [n, k, ...]. deviation : of the network's second head, likewise.

        Raises
        ------
        TrainingError : a term lacks what it compares with.
        """
        total = logits.new_zeros((), dtype=torch.float32)
        parts = {}
        for name, weight in self.weights.items():
            if name in LABEL_LOSSES:
                value = self._terms[name](logits, target.labels)
            elif name in HEADS:
                value = self._terms[name](_given(deviation, name), _given(target.deviation, name))
            else:
                value = self._terms[name](logits, _given(target.soft, name))
            total = total + weight * value
            parts[name] = value.detach()
        return total, parts


def _term(name: str, settings: Mapping[str, Any]) -> Term:
    if name in LABEL_LOSSES:
        if settings:
            raise TrainingError(f"The loss {name} has no settings.", "Give its weight alone.")
        return LABEL_LOSSES[name]
    try:
        return decode({**TERMS, **HEADS}[name], settings, f"losses.{name}")
    except DecodingError as error:
        raise TrainingError(f"{error}.", "Correct this setting.") from None


def _given(tensor: torch.Tensor | None, name: str) -> torch.Tensor:
    if tensor is None:
        raise TrainingError(
            f"The loss {name} needs soft targets.", "Compute them before the training."
        )
    return tensor


def _listed() -> str:
    return ", ".join((*LABEL_LOSSES, *TERMS, *HEADS))
