"""Label values that a study does not list, and the spacing of a case on the network's grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import Grid
from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.training.cases import require_known, spacing_of
from KDSegmentationLogic.training.dataset import CaseFiles


def labelled(path: Path, shape: tuple[int, ...], spacing: tuple[float, ...]) -> CaseFiles:
    image = sitk.GetImageFromArray(np.zeros(shape, np.uint8))
    image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return CaseFiles("case", (path,), path)


def test_a_grid_without_spacing_keeps_that_of_each_case(tmp_path: Path) -> None:
    case = labelled(tmp_path / "a.nrrd", (2, 3, 4), (1.5, 1.25, 10.0))

    assert spacing_of(case, Grid(3)) == pytest.approx((10.0, 1.25, 1.5))
    assert spacing_of(case, Grid(3, orientation="SAR")) == pytest.approx((1.5, 1.25, 10.0))
    assert spacing_of(case, Grid(3, (1.0, 2.0, 3.0))) == (3.0, 2.0, 1.0)


def test_a_slice_has_its_own_spacing_in_its_plane(tmp_path: Path) -> None:
    case = labelled(tmp_path / "a.nrrd", (3, 4), (0.5, 0.25))

    assert spacing_of(case, Grid(2)) == (1.0, 0.25, 0.5)
    assert spacing_of(case, Grid(2, shrink=2.0)) == (1.0, 0.5, 1.0)


def test_pixels_without_a_length_are_one_apart(tmp_path: Path) -> None:
    case = labelled(tmp_path / "a.png", (3, 4), (0.5, 0.25))

    assert spacing_of(case, Grid(2)) == (1.0, 1.0, 1.0)
    assert spacing_of(case, Grid(2, shrink=2.0)) == (1.0, 2.0, 2.0)


def test_listed_values_and_background_are_known() -> None:
    require_known(np.array([[0, 1], [4, 0]]), [1, 4], "a.nii.gz")


def test_an_unknown_value_is_refused_with_every_place_to_list_it() -> None:
    with pytest.raises(DatasetError, match=r"a\.nii\.gz holds the value 3, .* study file.*json"):
        require_known(np.array([0, 3, 1, 7]), [1], "a.nii.gz")
