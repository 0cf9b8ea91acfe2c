"""What is minimised: losses on labels and distillation terms, weighted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from KDSegmentationLogic.bundles.decoding import DecodingError, decode
from KDSegmentationLogic.distillation.catalogue import TERMS
from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.base import Term
from KDSegmentationLogic.errors import TrainingError


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over voxels of -log softmax(logits) at the label. [n, k, ...] and [n, ...]."""
    return functional.cross_entropy(logits.float(), labels)


def weighted_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in which a class counts 1 minus its share of the batch's voxels.

    The mean is weighted likewise. As ProtoKD's released code does (arXiv:2303.09830); a batch of
    one class alone, where all weights are 0 and that code divides by them, gives 0.
    """
    shares = torch.bincount(labels.flatten(), minlength=logits.shape[1]) / labels.numel()
    weights = (1 - shares)[labels]
    each = functional.cross_entropy(logits.float(), labels, reduction="none")
    return (weights * each).sum() / weights.sum().clamp_min(1e-7)


def soft_dice(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """1 minus the soft Dice over the whole batch, mean over all classes with background.

    Over the batch and not each sample: a class that one patch lacks then still has a
    sensible gradient (as Noothout et al. 2022 do).
    """
    probabilities, truth, axes = _maps(logits, labels)
    overlap = (probabilities * truth).sum(axes)
    size = probabilities.sum(axes) + truth.sum(axes)
    return 1 - (2 * overlap / (size + 1e-7)).mean()


def squared_dice(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As ``soft_dice``, with the sum of squares below; a class that is nowhere counts 1.

    Milletari et al. 2016 (arXiv:1606.04797), smoothed by 1e-5 as in ProtoKD's released code.
    """
    probabilities, truth, axes = _maps(logits, labels)
    overlap = (probabilities * truth).sum(axes)
    size = probabilities.square().sum(axes) + truth.sum(axes)
    return 1 - ((2 * overlap + 1e-5) / (size + 1e-5)).mean()


def _maps(
    logits: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
    """Probabilities, the truth likewise, and all axes but that of the classes."""
    probabilities = torch.softmax(logits.float(), dim=1)
    truth = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(probabilities.dtype)
    return probabilities, truth, (0, *range(2, logits.dim()))


LABEL_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cross_entropy": cross_entropy,
    "dice": soft_dice,
    "squared_dice": squared_dice,
    "weighted_cross_entropy": weighted_cross_entropy,
}


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
        self.terms: dict[str, Term] = {}
        for name, entry in losses.items():
            if name not in (*LABEL_LOSSES, *TERMS):
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
            if name in TERMS:
                self.terms[name] = _term(name, settings)
            elif settings:
                raise TrainingError(f"The loss {name} has no settings.", "Give its weight alone.")

    @property
    def needs_teacher(self) -> bool:
        return bool(self.terms)

    @property
    def reads_probabilities(self) -> bool:
        """Whether any term compares with what all of the teacher says, not with layers alone."""
        return any(not term.reads_features for term in self.terms.values())

    @property
    def needs_deviation(self) -> bool:
        """Whether the network needs its second head, and the targets a deviation."""
        return any(term.reads_deviation for term in self.terms.values())

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that any term reads, each once; without a teacher beside it, it cannot."""
        read = [term.layers for term in self.terms.values() if term.reads_features]  # type: ignore[attr-defined]
        return tuple(dict.fromkeys(name for names in read for name in names))

    def adapters(
        self, student: Mapping[str, int], teacher: Mapping[str, int], dimensions: int
    ) -> nn.ModuleDict:
        """What the terms train along with the student, by the name of the term.

        Parameters
        ----------
        student, teacher : channels of each of ``layers``. dimensions : 2 or 3.
        """
        made = {
            name: term.adapters(student, teacher, dimensions) for name, term in self.terms.items()
        }
        return nn.ModuleDict({name: module for name, module in made.items() if module is not None})

    def __call__(
        self, lesson: Lesson, adapters: nn.ModuleDict | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The weighted sum, and each part without its weight.

        Parameters
        ----------
        adapters : what ``adapters`` made, where any term has some.

        Raises
        ------
        TrainingError : a term lacks what it compares with.
        """
        total = lesson.logits.new_zeros((), dtype=torch.float32)
        parts = {}
        for name, weight in self.weights.items():
            if name in LABEL_LOSSES:
                value = LABEL_LOSSES[name](lesson.logits, lesson.labels)
            else:
                own = adapters[name] if adapters is not None and name in adapters else None
                value = self._compared(name, lesson, own)
            total = total + weight * value
            parts[name] = value.detach()
        return total, parts

    def _compared(self, name: str, lesson: Lesson, adapters: nn.Module | None) -> torch.Tensor:
        term = self.terms[name]
        taught = lesson.teacher is not None or bool(lesson.teacher_features)
        if not taught or (term.reads_deviation and lesson.teacher_deviation is None):
            raise TrainingError(
                f"The loss {name} needs soft targets.", "Compute them before the training."
            )
        return term(lesson, adapters)


def _term(name: str, settings: Mapping[str, Any]) -> Term:
    try:
        return decode(TERMS[name], dict(settings), f"losses.{name}")
    except DecodingError as error:
        raise TrainingError(f"{error}.", "Correct this setting.") from None


def _listed() -> str:
    return ", ".join((*LABEL_LOSSES, *TERMS))
