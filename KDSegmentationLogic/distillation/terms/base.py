"""What every distillation term is: settings, and a number for a lesson."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from KDSegmentationLogic.distillation.lesson import Lesson


@dataclass(frozen=True)
class Term:
    """A term of the catalogue. Its fields are its settings in a study file.

    Convention of every term: summed over classes, averaged over voxels, T^2 included; the
    docstring gives source, formula and the conversion from the paper's own weight.

    Attributes
    ----------
    reads_features : it compares layers; then it has a field ``layers`` with their names.
    reads_deviation : it needs the student's second head.
    """

    reads_features: ClassVar[bool] = False
    reads_deviation: ClassVar[bool] = False

    @property
    def fewest_classes(self) -> int:
        """With background; with less the term says nothing."""
        return 2

    def __call__(self, lesson: Lesson, adapters: nn.Module | None = None) -> Tensor:
        """A scalar in full precision. ``adapters``: what ``adapters`` made."""
        raise NotImplementedError

    def adapters(
        self,
        student: Mapping[str, int],  # noqa: ARG002
        teacher: Mapping[str, int],  # noqa: ARG002
        dimensions: int,  # noqa: ARG002
    ) -> nn.Module | None:
        """What is trained along with the student and no part of it; none by default.

        Parameters
        ----------
        student, teacher : channels of each layer by name. dimensions : 2 or 3.
        """
        return None
