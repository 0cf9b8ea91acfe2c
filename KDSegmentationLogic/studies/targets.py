"""Soft targets on disk: what an ensemble says of each case, three bytes a class and voxel.

Two are for the mean probability and one for the standard deviation (``training.quantised``);
the files are compressed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from KDSegmentationLogic.files import atomic_file
from KDSegmentationLogic.studies.damage import damaged
from KDSegmentationLogic.training.quantised import encode_deviation, encode_probabilities


@dataclass(frozen=True)
class SoftTarget:
    """Of one case: mean uint16 and deviation uint8 [k, z, y, x], as ``quantised`` has them;
    ``agreement``: mean Dice between every two members, over the structures."""

    mean: np.ndarray
    deviation: np.ndarray
    agreement: float


@dataclass(frozen=True)
class SoftTargets:
    """The soft targets of one ensemble in a folder."""

    folder: Path

    def path(self, case: str) -> Path:
        return self.folder / f"{case}.npz"

    def save(self, case: str, mean: np.ndarray, deviation: np.ndarray, agreement: float) -> None:
        """Quantise and write; both maps float32 [k, z, y, x]."""
        with atomic_file(self.path(case)) as path:
            np.savez_compressed(
                path,
                mean=encode_probabilities(mean),
                deviation=encode_deviation(deviation),
                agreement=np.float32(agreement),
            )

    def load(self, case: str) -> SoftTarget:
        """What was saved.

        Raises
        ------
        TrainingError : the file is missing or damaged.
        """
        path = self.path(case)
        try:
            with np.load(path, allow_pickle=False) as file:
                return SoftTarget(file["mean"], file["deviation"], float(file["agreement"]))
        except Exception as error:  # zipfile, zlib and numpy raise their own kinds
            raise damaged(path, error) from error
