"""What a distillation term sees of one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Lesson:
    """One batch as the terms see it; nothing of the teacher is ever differentiated.

    logits : the student's, [n, k, ...].
    labels : class indices, int64 [n, ...], 0 background.
    teacher : probabilities of the teacher, [n, k, ...].
    deviation : what the student's second head says, [n, k, ...].
    teacher_deviation : standard deviation over the teacher's members, likewise.
    features : of the student's layers by name (``SegmentationNetwork.layers``), [n, c, ...].
    teacher_features : of one teacher's layers, likewise; channels and spatial size may differ.
    """

    logits: Tensor
    labels: Tensor
    teacher: Tensor | None = None
    deviation: Tensor | None = None
    teacher_deviation: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    teacher_features: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def soft(self) -> Tensor:
        """The teacher's probabilities in full precision, cut off from any gradient.

        Raises
        ------
        ValueError : there is no teacher.
        """
        return _fixed(self.teacher, "teacher")

    @property
    def soft_deviation(self) -> Tensor:
        """The deviation over the teacher's members, likewise.

        Raises
        ------
        ValueError : there is none.
        """
        return _fixed(self.teacher_deviation, "deviation of a teacher")


def _fixed(tensor: Tensor | None, what: str) -> Tensor:
    if tensor is None:
        raise ValueError(f"this lesson has no {what}")
    return tensor.detach().float()
