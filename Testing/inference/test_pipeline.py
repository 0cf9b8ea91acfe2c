"""The whole path: images in, labels on the images' own grid out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import (
    NO_SUM,
    Channel,
    Expectation,
    Grid,
    Member,
    Normalisation,
)
from KDSegmentationLogic.errors import ImageError
from KDSegmentationLogic.inference import case, pipeline
from KDSegmentationLogic.inference.case import Case
from KDSegmentationLogic.inference.pipeline import Predictor, Result, Settings
from KDSegmentationLogic.inference.preprocess import Geometry, statistics_of
from KDSegmentationLogic.inference.region import Box, Point
from Testing.making import phantom, tiny_ensemble, tiny_picture_student, tiny_student

CPU = Settings(device="cpu", threads=1)
LEFT_HANDED = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
PERMUTED = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def rotation(*angles: float) -> tuple[float, ...]:
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*angles)
    return tuple(turn.GetMatrix())


def array(image: sitk.Image | None) -> np.ndarray:
    assert image is not None
    return sitk.GetArrayFromImage(image)


def segment(bundle: Bundle, image: sitk.Image, settings: Settings = CPU) -> Result:
    return Predictor(bundle, settings).segment([image])


@pytest.mark.parametrize(
    "direction",
    [None, LEFT_HANDED, PERMUTED, rotation(0.3, -0.2, 0.5), rotation(0.785398, 0, 0)],
    ids=["identity", "left-handed", "permuted", "oblique", "45 degrees"],
)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 1.3)])
def test_labels_lie_on_the_input_grid_bit_for_bit(
    direction: tuple[float, ...] | None, spacing: tuple[float, ...], student_bundle: Bundle
) -> None:
    image, truth = phantom(spacing=spacing, origin=(-11.1, 22.2, 33.3), direction=direction)
    labels = segment(student_bundle, image).labels
    assert Geometry.of(labels) == Geometry.of(image)
    assert labels.GetPixelID() == sitk.sitkUInt8
    agree = float((array(labels) == array(truth)).mean())
    assert agree == 1.0 if spacing == (1.0, 1.0, 1.0) else agree > 0.9


def test_a_picture_gives_labels_on_its_grid(picture_bundle: Bundle) -> None:
    image, truth = phantom((31, 22), (0.4, 0.3), (5.0, 6.0), (0.0, -1.0, 1.0, 0.0))
    settings = replace(CPU, probabilities=True, uncertainty=True)
    result = segment(picture_bundle, image, settings)
    assert Geometry.of(result.labels) == Geometry.of(image)
    np.testing.assert_array_equal(array(result.labels), array(truth))
    for name in ("probabilities", "entropy"):
        assert Geometry.of(getattr(result, name)) == Geometry.of(image)


def test_a_shrunk_picture_gives_labels_on_its_own_grid(tmp_path: Path) -> None:
    shrunk = tiny_picture_student(tmp_path / "shrunk", grid=Grid(2, shrink=2.0))
    image, truth = phantom((61, 42), (0.4, 0.3), (5.0, 6.0), (0.0, -1.0, 1.0, 0.0))
    labels = segment(shrunk, image).labels
    assert Geometry.of(labels) == Geometry.of(image)
    assert float((array(labels) == array(truth)).mean()) > 0.95


def test_a_single_network_has_an_entropy_but_no_deviation(student_bundle: Bundle) -> None:
    result = segment(student_bundle, phantom()[0], replace(CPU, uncertainty=True))
    assert result.deviation is None
    assert array(result.entropy).max() > 0


@pytest.mark.parametrize("region", [None, Point((-3.0, -3.0, 3.0))])
def test_images_that_do_not_fit_are_refused_before_all_else(
    region: Point | None, tmp_path: Path, student_bundle: Bundle
) -> None:
    with pytest.raises(ImageError, match="needs 1 image"):
        Predictor(student_bundle, CPU).segment([], region)
    (channel,) = student_bundle.description.channels
    two = Predictor(tiny_student(tmp_path / "two", **_two_channels(channel)), CPU)
    with pytest.raises(ImageError, match="different grids"):
        two.segment([phantom()[0], phantom((9, 9, 9))[0]], region)


def _two_channels(channel: Channel) -> dict[str, Any]:
    member = Member(
        "student_unet",
        {"in_channels": 2, "classes": 3, "dimensions": 3, "widths": [4, 8], "stem_stride": 1},
        "models/model.safetensors",
        NO_SUM,
        (16, 16, 16),
    )
    return {"channels": (channel, replace(channel, name="second")), "members": (member,)}


@pytest.mark.parametrize("code", ["RAS", "PIR"])
def test_an_image_stored_another_way_gets_the_same_labels(
    code: str, tmp_path: Path, student_bundle: Bundle
) -> None:
    image, _ = phantom(spacing=(0.8, 1.2, 1.1))
    turned = sitk.Flip(sitk.PermuteAxes(image, [2, 0, 1]), [True, False, True])
    first, second = (segment(student_bundle, i).labels for i in (image, turned))
    back = sitk.Resample(second, first, sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(array(back), array(first))
    oriented = tiny_student(tmp_path / "turned", grid=Grid(3, (1.0, 1.0, 1.0), code))
    np.testing.assert_array_equal(array(segment(oriented, image).labels), array(first))


@pytest.mark.parametrize("kind", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkFloat64])
def test_the_pixel_type_does_not_matter(kind: int, student_bundle: Bundle) -> None:
    image, truth = phantom()
    stored = sitk.Cast(sitk.Clamp(image, sitk.sitkInt16, 0, 255), kind)
    np.testing.assert_array_equal(array(segment(student_bundle, stored).labels), array(truth))


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 2, 1), (1, 40, 3), (5, 5, 5)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 9.0), (7.0, 0.4, 1.0)])
@pytest.mark.parametrize("name", ["student_bundle", "ensemble_bundle"])
def test_tiny_thin_and_anisotropic_images_come_through(
    name: str,
    size: tuple[int, ...],
    spacing: tuple[float, ...],
    request: pytest.FixtureRequest,
) -> None:
    image = sitk.Image(size, sitk.sitkInt16) + 200
    image.SetSpacing(spacing)
    labels = segment(request.getfixturevalue(name), image).labels
    assert Geometry.of(labels) == Geometry.of(image)
    assert (array(labels) == 2).all()  # the intensity of the second structure everywhere


def test_probabilities_are_a_vector_image_whose_largest_component_is_the_label(
    ensemble_bundle: Bundle,
) -> None:
    image, _ = phantom(spacing=(0.8, 1.3, 0.9), direction=PERMUTED)
    result = segment(ensemble_bundle, image, replace(CPU, probabilities=True, uncertainty=True))
    probabilities = array(result.probabilities)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=-1), array(result.labels))
    for name in ("probabilities", "deviation", "entropy"):
        assert Geometry.of(getattr(result, name)) == Geometry.of(image)
    assert result.deviation is not None
    assert result.deviation.GetNumberOfComponentsPerPixel() == 3
    assert array(result.entropy).max() <= 1.0 + 1e-6


def test_the_deviation_of_an_ensemble_is_that_of_its_members(tmp_path: Path) -> None:
    ensemble = tiny_ensemble(tmp_path / "three")
    image, _ = phantom()
    found = segment(ensemble, image, replace(CPU, probabilities=True, uncertainty=True))
    singles = []
    for member in ensemble.description.members:
        single = replace(ensemble.description, kind="network", members=(member,))
        alone = replace(ensemble, description=single)
        singles.append(array(segment(alone, image, replace(CPU, probabilities=True)).probabilities))
    np.testing.assert_allclose(array(found.probabilities), np.mean(singles, 0), atol=1e-6)
    np.testing.assert_allclose(array(found.deviation), np.std(singles, 0), atol=1e-6)
    assert np.std(singles, 0).max() > 0.05


def test_what_was_not_asked_for_is_not_computed(student_bundle: Bundle) -> None:
    result = segment(student_bundle, phantom()[0])
    assert result.probabilities is result.deviation is result.entropy is None


def test_the_memory_limit_does_not_change_what_one_window_gives(student_bundle: Bundle) -> None:
    image, _ = phantom((40, 30, 20), (0.9, 1.1, 1.2))
    maps = [
        array(
            segment(
                student_bundle, image, replace(CPU, memory_limit_gib=limit, probabilities=True)
            ).probabilities
        )
        for limit in (None, 4.0, 16.0)
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])


def test_a_limit_below_what_the_process_holds_is_told_and_the_labels_stay_right(
    student_bundle: Bundle,
) -> None:
    image, truth = phantom((20, 16, 12))
    result = segment(student_bundle, image, replace(CPU, memory_limit_gib=0.01))
    assert [n for n in result.notices if "0.01 GiB" in n]
    np.testing.assert_array_equal(array(result.labels), array(truth))


def test_the_number_of_threads_does_not_change_the_labels(student_bundle: Bundle) -> None:
    image, _ = phantom(spacing=(0.8, 1.3, 0.9))
    results = [
        segment(student_bundle, image, replace(CPU, threads=n, probabilities=True)) for n in (1, 2)
    ]
    np.testing.assert_allclose(
        array(results[0].probabilities), array(results[1].probabilities), atol=1e-5
    )
    np.testing.assert_array_equal(array(results[0].labels), array(results[1].labels))


def test_the_order_of_cases_does_not_matter(ensemble_bundle: Bundle) -> None:
    images = [phantom((20, 24, 16))[0], phantom((12, 30, 20), (1.5, 0.9, 1.1))[0]]
    settings = replace(CPU, probabilities=True)
    forth, back = Predictor(ensemble_bundle, settings), Predictor(ensemble_bundle, settings)
    first = [array(forth.segment([i]).probabilities) for i in images]
    second = [array(back.segment([i]).probabilities) for i in reversed(images)][::-1]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_input_image_is_left_as_it_was(student_bundle: Bundle) -> None:
    image, _ = phantom(direction=PERMUTED)
    before, geometry = array(image), Geometry.of(image)
    segment(student_bundle, image)
    np.testing.assert_array_equal(array(image), before)
    assert Geometry.of(image) == geometry


@pytest.mark.parametrize(("spacing", "told"), [((1.0, 1.0, 1.0), False), ((1.0, 1.0, 3.0), True)])
def test_a_spacing_the_model_does_not_know_is_told(
    spacing: tuple[float, ...], told: bool, tmp_path: Path
) -> None:
    bundle = tiny_student(tmp_path / "choosy", expects=Expectation("any", (0.5, 2.0)))
    result = segment(bundle, phantom((12, 12, 8), spacing)[0])
    assert any("3.00 mm" in notice for notice in result.notices) is told


def test_the_result_says_where_and_how_long_it_ran(student_bundle: Bundle) -> None:
    result = segment(student_bundle, phantom()[0], replace(CPU, engine="torch"))
    assert (result.device, result.engine) == ("cpu", "torch")
    assert list(result.seconds) == ["preprocess", "predict", "restore"]
    assert all(seconds >= 0 for seconds in result.seconds.values())


def test_what_happens_between_the_planes_is_not_the_networks_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(pipeline.time, "perf_counter", lambda: now[0])

    def planes() -> Iterator[str]:
        for name in ("first", "second", "third"):
            now[0] += 5
            yield name

    clock = pipeline._Clock()
    for _ in clock.timed("predict", planes()):
        now[0] += 1
    clock.lap("restore")

    assert clock.seconds == {"predict": 15.0, "restore": 3.0}


def test_a_case_remembers_its_statistics_from_region_to_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = Channel("MR", "MR", Normalisation("zscore"))
    bundle = tiny_student(tmp_path / "by-the-whole", channels=(channel,))
    image, _ = phantom((60, 50, 40))
    predictor = Predictor(bundle, CPU)
    regions = [Box((-30, -20, 10), (-20, -10, 20)), Box((-50, -40, 5), (-40, -30, 15))]
    fresh = [array(predictor.segment([image], region).labels) for region in regions]
    counted: list[int] = []

    def count(*arguments: Any) -> Any:
        counted.append(1)
        return statistics_of(*arguments)

    monkeypatch.setattr(case, "statistics_of", count)
    remembering = Case([image])
    for region, wanted in zip(regions, fresh, strict=True):
        np.testing.assert_array_equal(array(predictor.segment(remembering, region).labels), wanted)
    assert len(counted) == 1
