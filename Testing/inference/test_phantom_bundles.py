"""The tiny bundles do what other tests count on: they segment the phantom."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.inference.region import Point
from Testing.making import phantom


def array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


@pytest.mark.parametrize("name", ["student_bundle", "ensemble_bundle"])
def test_a_tiny_bundle_finds_both_parts_of_the_phantom(
    name: str, request: pytest.FixtureRequest
) -> None:
    image, truth = phantom()
    bundle: Bundle = request.getfixturevalue(name)
    result = Predictor(bundle, Settings(device="cpu", threads=1)).segment([image])
    np.testing.assert_array_equal(array(result.labels), array(truth))


def test_the_crop_bundle_finds_the_phantom_at_a_point(crop_bundle: Bundle) -> None:
    image, truth = phantom((60, 50, 40))
    predictor = Predictor(crop_bundle, Settings(device="cpu", threads=1))
    found = predictor.segment([image], Point((-30.0, -25.0, 20.0))).labels
    middle = (slice(8, 32), slice(13, 37), slice(18, 42))
    np.testing.assert_array_equal(array(found)[middle], array(truth)[middle])


def test_the_picture_bundle_finds_a_flat_phantom(picture_bundle: Bundle) -> None:
    image, truth = phantom((40, 30), (1.0, 1.0))
    labels = Predictor(picture_bundle, Settings(device="cpu", threads=1)).segment([image]).labels
    np.testing.assert_array_equal(array(labels), array(truth))
