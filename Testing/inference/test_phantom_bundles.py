"""The tiny bundles do what other tests count on: they segment the phantom."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.inference.region import Point
from Testing.making import phantom


def dice(labels: sitk.Image, truth: sitk.Image, value: int) -> float:
    a, b = (sitk.GetArrayViewFromImage(i) == value for i in (labels, truth))
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


@pytest.mark.parametrize("name", ["student_bundle", "ensemble_bundle"])
def test_a_tiny_bundle_finds_both_parts_of_the_phantom(
    name: str, request: pytest.FixtureRequest
) -> None:
    image, truth = phantom()
    bundle: Bundle = request.getfixturevalue(name)
    result = Predictor(bundle, Settings(device="cpu", threads=1)).segment([image])
    # between background and the second part lies a rim of the first part's intensity
    assert dice(result.labels, truth, 1) > 0.7
    assert dice(result.labels, truth, 2) > 0.8


def test_the_crop_bundle_finds_the_phantom_at_a_point(crop_bundle: Bundle) -> None:
    image, truth = phantom((60, 50, 40))
    predictor = Predictor(crop_bundle, Settings(device="cpu", threads=1))
    found = predictor.segment([image], Point((-30.0, -25.0, 20.0))).labels
    array = sitk.GetArrayViewFromImage(found)
    middle = (slice(10, 30), slice(15, 35), slice(20, 40))
    assert np.mean(array[middle] == sitk.GetArrayViewFromImage(truth)[middle]) > 0.9


def test_the_picture_bundle_finds_a_flat_phantom(picture_bundle: Bundle) -> None:
    image, truth = phantom((40, 30), (1.0, 1.0))
    labels = Predictor(picture_bundle, Settings(device="cpu", threads=1)).segment([image]).labels
    assert labels.GetSize() == (40, 30)
    assert dice(labels, truth, 2) > 0.8
