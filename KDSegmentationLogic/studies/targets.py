"""Soft targets on disk: what an ensemble says of each case, one byte a class and voxel.

Probabilities are stored times 255 and standard deviations, at most 1/2, times 510, so the
error is at most 1/510 and 1/1020. Compressed, a crop of 40 x 56 x 40 voxels and three classes
takes about a tenth of that byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from KDSegmentationLogic.files import atomic_file
from KDSegmentationLogic.studies.damage import damaged


@dataclass(frozen=True)
class SoftTarget:
    """Of one case: mean and deviation uint8 [k, z, y, x] as above; ``agreement``: mean Dice
    between every two members, over the structures."""

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
                mean=_quantised(mean, 255),
                deviation=_quantised(deviation, 510),
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


def _quantised(values: np.ndarray, scale: int) -> np.ndarray:
    return np.clip(np.round(values * scale), 0, 255).astype(np.uint8)
