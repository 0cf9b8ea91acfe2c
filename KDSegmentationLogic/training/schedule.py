"""How long and how fast a network is trained, and on what loss."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from KDSegmentationLogic.training.augmentation import Augmentation

_POWER = 0.9  # of the polynomial decay, as in DeepLab (arXiv:1606.00915)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. ``losses``: weights by name (``Objective``).

    The learning rate rises linearly over ``warmup`` steps and falls to zero along a cosine, or
    (``decay: poly``) as the steps that are left to the power of 0.9; at each of ``restarts`` it
    starts to fall anew (Loshchilov and Hutter 2017, arXiv:1608.03983).
    ``foreground``, ``mirror``, ``within``: see ``PatchSampler``. ``averaging``: decay of the
    running mean of the weights, which is validated and kept. ``prior_bias``: the network starts
    from predicting each class as often as it occurs (Lin et al. 2017, arXiv:1708.02002). With
    cross-entropy on small structures the first steps otherwise only teach "background", and a
    network without normalisation in its head may not come back from that.

    Raises
    ------
    ValueError : a value out of its range.
    """

    steps: int
    losses: dict[str, Any]
    batch: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    warmup: int = 50
    averaging: float = 0.99
    clip_norm: float = 5.0
    foreground: float = 0.67
    mirror: tuple[int, ...] = ()
    prior_bias: bool = False
    restarts: tuple[int, ...] = ()
    validate_every: int = 100
    augmentation: Augmentation = field(default_factory=Augmentation)
    decay: Literal["cosine", "poly"] = "cosine"
    within: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero")
        for name in ("warmup", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below zero")
        if not 0 <= self.averaging < 1:
            raise ValueError("averaging must be at least 0 and below 1")
        if not 0 <= self.foreground <= 1:
            raise ValueError("foreground must be a share from 0 to 1")
        if list(self.restarts) != sorted(
            {r for r in self.restarts if self.warmup < r < self.steps}
        ):
            raise ValueError("restarts must rise from after the warm-up to before the last step")
        if not set(self.mirror) <= {0, 1, 2}:
            raise ValueError("mirror must name axes of the volume: 0 z, 1 y, 2 x")
        if self.within and (len(self.within) != 3 or min(self.within) < 1):
            raise ValueError("within must be three sizes in voxels: z, y, x")
        if self.within and self.foreground:
            raise ValueError("within goes with a foreground of 0 alone")

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ..."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        first = max((r for r in self.restarts if r <= step), default=self.warmup)
        last = min((r for r in self.restarts if r > step), default=self.steps)
        done = (step - first) / max(1, last - first)
        if self.decay == "poly":
            return self.learning_rate * (1 - min(done, 1.0)) ** _POWER
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
