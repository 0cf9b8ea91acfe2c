"""Label values that a study does not list."""

from __future__ import annotations

import numpy as np
import pytest

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.training.cases import require_known


def test_listed_values_and_background_are_known() -> None:
    require_known(np.array([[0, 1], [4, 0]]), [1, 4], "a.nii.gz")


def test_an_unknown_value_is_refused_with_every_place_to_list_it() -> None:
    with pytest.raises(DatasetError, match=r"a\.nii\.gz holds the value 3, .* study file.*json"):
        require_known(np.array([0, 3, 1, 7]), [1], "a.nii.gz")
