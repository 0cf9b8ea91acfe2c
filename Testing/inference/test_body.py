"""A CT's air: found, left out, and background in every result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import Channel, FieldOfView, Normalisation
from KDSegmentationLogic.inference.body import body_block
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from Testing.making import phantom

SIZE, START = (100, 90, 80), (40, 36, 32)
CPU = Settings("cpu", threads=1)


@pytest.fixture
def in_air() -> tuple[sitk.Image, sitk.Image]:
    """The phantom of 1 mm in the middle of air, and its labels there."""
    image, truth = phantom()
    air = sitk.Image(SIZE, image.GetPixelID()) - 1000
    none = sitk.Image(SIZE, truth.GetPixelID())
    size = image.GetSize()
    return tuple(
        sitk.Paste(around, part, size, [0, 0, 0], START)
        for around, part in ((air, image), (none, truth))
    )


def array(image: sitk.Image | None) -> np.ndarray:
    assert image is not None
    return sitk.GetArrayFromImage(image)


def test_the_block_holds_the_body_and_one_centimetre_more(
    in_air: tuple[sitk.Image, sitk.Image], student_bundle: Bundle
) -> None:
    image, _ = in_air
    block = body_block(image, student_bundle.description)
    assert block is not None
    for (start, size), at, body in zip(
        zip(*block, strict=True), START, phantom()[0].GetSize(), strict=True
    ):
        assert at - 14 <= start <= at - 6
        assert at + body + 6 <= start + size <= at + body + 14


def test_labels_are_those_of_the_whole_image_and_the_network_sees_less(
    in_air: tuple[sitk.Image, sitk.Image], student_bundle: Bundle
) -> None:
    image, truth = in_air
    predictor = Predictor(student_bundle, CPU)
    seen: list[tuple[int, ...]] = []
    logits: Callable[..., np.ndarray] = predictor._runners[0].engine.features

    def watched(batch: np.ndarray, *others: object) -> np.ndarray:
        seen.append(batch.shape)
        return logits(batch, *others)

    predictor._runners[0].engine.features = watched  # type: ignore[method-assign, assignment]
    labels = predictor.segment([image]).labels
    np.testing.assert_array_equal(array(labels), array(truth))
    assert labels.GetOrigin() == image.GetOrigin()
    assert np.prod(seen[0]) < 0.6 * np.prod(SIZE)


def test_maps_say_that_the_air_is_surely_background(
    in_air: tuple[sitk.Image, sitk.Image], student_bundle: Bundle
) -> None:
    settings = replace(CPU, probabilities=True, uncertainty=True)
    result = Predictor(student_bundle, settings).segment([in_air[0]])
    probabilities = array(result.probabilities)
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(-1), array(result.labels))
    np.testing.assert_array_equal(probabilities[0, 0, 0], [1, 0, 0])
    assert array(result.entropy)[0, 0, 0] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"channels": (Channel("MR", "MR", Normalisation("zscore")),)},
        {"channels": (Channel("CT", "CT", Normalisation("zscore")),)},
        {"field_of_view": FieldOfView("crop", (24.0, 24.0, 24.0))},
    ],
)
def test_images_without_a_common_scale_and_crops_stay_whole(
    change: dict[str, object], in_air: tuple[sitk.Image, sitk.Image], student_bundle: Bundle
) -> None:
    description = replace(student_bundle.description, **change)  # type: ignore[arg-type]
    assert body_block(in_air[0], description) is None


@pytest.mark.parametrize("value", [-1000, 0])
def test_an_image_of_nothing_else_stays_whole(value: int, student_bundle: Bundle) -> None:
    image = sitk.Image(30, 20, 10, sitk.sitkInt16) + value
    assert body_block(image, student_bundle.description) is None
    assert not array(Predictor(student_bundle, CPU).segment([image]).labels).any()
