"""Back to the input's grid: interpolation of probabilities, then the largest class."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from KDSegmentationLogic.bundles.description import Channel, Grid, Normalisation
from KDSegmentationLogic.imaging.geometry import to_orientation
from KDSegmentationLogic.inference.predict import pad_to_multiple
from KDSegmentationLogic.inference.preprocess import Geometry, Prepared, preprocess
from KDSegmentationLogic.inference.restore import Planes, ScoreGrid, restore, to_source_grid

SIZES = st.tuples(*[st.integers(1, 9)] * 3)
SPACINGS = st.tuples(*[st.floats(0.3, 4.0)] * 3)


def prepared_of(
    source: tuple[int, ...],
    target: tuple[int, ...],
    source_mm: tuple[float, ...] = (1.0, 1.0, 1.0),
    target_mm: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> Prepared:
    """Sizes (z, y, x), spacings mm (x, y, z)."""
    identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    oriented = Geometry(target[::-1], target_mm, (0.0, 0.0, 0.0), identity)
    return Prepared(np.zeros((1, *source), np.float32), source_mm, oriented)  # type: ignore[arg-type]


def random_probabilities(seed: int, classes: int, shape: tuple[int, ...]) -> np.ndarray:
    scores = np.random.default_rng(seed).random((classes, *shape), np.float32) ** 3
    return scores / scores.sum(axis=0)


def in_blocks(
    mean: np.ndarray, cuts: list[int], deviation: np.ndarray | None = None
) -> Iterator[Planes]:
    depth = mean.shape[1]
    edges = sorted({0, depth, *(cut % depth for cut in cuts)})
    for first, last in pairwise(edges):
        part = None if deviation is None else deviation[:, first:last]
        yield Planes(first, mean[:, first:last], part)


def independently_interpolated(probabilities: np.ndarray, prepared: Prepared) -> np.ndarray:
    """By scipy, on the whole array at once, in double precision."""
    positions = []
    for target, target_mm, source, source_mm in zip(
        prepared.oriented_shape,
        prepared.oriented_spacing[::-1],
        prepared.array.shape[1:],
        prepared.spacing[::-1],
        strict=True,
    ):
        offset = (np.arange(target) - (target - 1) / 2) * target_mm / source_mm
        positions.append(offset + (source - 1) / 2)
    grid = np.meshgrid(*positions, indexing="ij")
    return np.stack(
        [
            ndimage.map_coordinates(p.astype(np.float64), grid, order=1, mode="nearest")
            for p in probabilities
        ]
    )


@settings(max_examples=60, deadline=None)
@given(
    source=SIZES,
    target=SIZES,
    source_mm=SPACINGS,
    target_mm=SPACINGS,
    classes=st.integers(2, 5),
    cuts=st.lists(st.integers(0, 8), max_size=4),
    seed=st.integers(0, 999),
)
def test_restore_equals_interpolating_all_probabilities_and_taking_the_largest(
    source: tuple[int, ...],
    target: tuple[int, ...],
    source_mm: tuple[float, ...],
    target_mm: tuple[float, ...],
    classes: int,
    cuts: list[int],
    seed: int,
) -> None:
    prepared = prepared_of(source, target, source_mm, target_mm)
    mean = random_probabilities(seed, classes, source)
    values = np.array([0, *range(10, 10 + classes - 1)])
    restored = restore(in_blocks(mean, cuts), prepared, values, probabilities=True)
    wanted = independently_interpolated(mean, prepared)
    assert restored.probabilities is not None
    np.testing.assert_allclose(restored.probabilities, wanted, atol=2e-6)
    two_best = np.sort(wanted, axis=0)[-2:]
    clear = two_best[1] - two_best[0] > 1e-5  # of two alike, rounding decides
    np.testing.assert_array_equal(restored.labels[clear], values[wanted.argmax(0)][clear])


@settings(max_examples=60, deadline=None)
@given(
    source=SIZES,
    target=SIZES,
    stride=st.tuples(*[st.sampled_from((1, 2, 4))] * 3),
    source_mm=SPACINGS,
    target_mm=SPACINGS,
    cuts=st.lists(st.integers(0, 8), max_size=4),
    seed=st.integers(0, 999),
)
def test_coarse_scores_come_back_by_way_of_the_networks_grid(
    source: tuple[int, ...],
    target: tuple[int, ...],
    stride: tuple[int, int, int],
    source_mm: tuple[float, ...],
    target_mm: tuple[float, ...],
    cuts: list[int],
    seed: int,
) -> None:
    """As a network does that interpolates its logits to its input's size."""
    prepared = prepared_of(source, target, source_mm, target_mm)
    coarse = random_probabilities(
        seed, 3, tuple(-(-n // s) for n, s in zip(source, stride, strict=True))
    )
    positions = [(np.arange(n) - (s - 1) / 2) / s for n, s in zip(source, stride, strict=True)]
    grid = np.meshgrid(*positions, indexing="ij")
    fine = [ndimage.map_coordinates(p, grid, order=1, mode="nearest") for p in coarse]
    wanted = independently_interpolated(np.stack(fine), prepared)
    restored = restore(
        in_blocks(coarse, cuts), prepared, np.arange(3), probabilities=True, grid=ScoreGrid(stride)
    )
    assert restored.probabilities is not None
    np.testing.assert_allclose(restored.probabilities, wanted, atol=2e-6)
    two_best = np.sort(wanted, axis=0)[-2:]
    clear = two_best[1] - two_best[0] > 1e-5
    np.testing.assert_array_equal(restored.labels[clear], wanted.argmax(0)[clear])


@settings(max_examples=40, deadline=None)
@given(
    start=st.tuples(*[st.integers(0, 12)] * 3),
    spacing=st.tuples(*[st.floats(0.6, 2.5)] * 3),
    code=st.sampled_from(["LPS", "RAS", "PIR"]),
    interpolation=st.sampled_from(["linear", "cubic"]),
)
def test_a_part_is_prepared_and_restored_as_within_the_whole_image(
    start: tuple[int, ...], spacing: tuple[float, ...], code: str, interpolation: str
) -> None:
    """Scores of half the resolution tell whether the part begins where a whole pair does."""
    blobs = ndimage.gaussian_filter(np.random.default_rng(5).random((40, 44, 48)), 3)
    image = sitk.GetImageFromArray((blobs - blobs.min()).astype(np.float32) / np.ptp(blobs))
    image.SetSpacing((1.0, 1.2, 0.9))
    grid = Grid(3, spacing, code, interpolation)
    channels = (Channel("T1", "MR", Normalisation("none")),)
    block = (start, (24, 26, 22))

    def restored(prepared: Prepared, own: sitk.Image) -> np.ndarray:
        padded = pad_to_multiple(prepared.array, (2, 2, 2))[0]
        half = padded.reshape([n for m in padded.shape for n in (m // 2, 2)]).mean((1, 3, 5))
        mean = np.stack([1 - half, half]).astype(np.float32)
        blocks = in_blocks(mean, [3])
        found = restore(blocks, prepared, np.arange(2), True, grid=ScoreGrid((2, 2, 2)))
        assert found.probabilities is not None
        return sitk.GetArrayFromImage(to_source_grid(found.probabilities, prepared, own))[..., 1]

    whole = restored(preprocess([image], channels, grid), image)
    prepared = preprocess([image], channels, grid, part=block, step=4)
    part = restored(prepared, sitk.RegionOfInterest(image, block[1], block[0]))
    x, y, z = (slice(a, a + n) for a, n in zip(*block, strict=True))
    margin = 8  # beyond the part's end its last scores go on
    inner = (slice(margin, -margin),) * 3
    np.testing.assert_allclose(part[inner], whole[z, y, x][inner], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 11), max_size=6), seed=st.integers(0, 99))
def test_the_result_does_not_depend_on_how_planes_arrive(cuts: list[int], seed: int) -> None:
    prepared = prepared_of((12, 5, 6), (17, 7, 5), (1.0, 1.0, 1.5), (0.8, 1.2, 1.0))
    mean = random_probabilities(seed, 4, (12, 5, 6))
    deviation = mean / 7
    maps = []
    for blocks in (in_blocks(mean, [], deviation), in_blocks(mean, cuts, deviation)):
        maps.append(restore(blocks, prepared, np.arange(4), True, True))
    for name in ("labels", "probabilities", "deviation", "entropy"):
        np.testing.assert_array_equal(getattr(maps[0], name), getattr(maps[1], name))


def test_smooth_probabilities_far_from_boundaries_come_out_as_those_near_them() -> None:
    """Large agreeing areas, in which the shortcut leaves the interpolation out."""
    blobs = ndimage.gaussian_filter(
        np.random.default_rng(3).random((4, 20, 24, 28)).astype(np.float32), (0, 3, 3, 3)
    )
    mean = np.exp(60 * blobs) / np.exp(60 * blobs).sum(0)
    prepared = prepared_of((20, 24, 28), (31, 50, 61), (1.0, 1.0, 1.0), (0.45, 0.47, 0.66))
    labels = restore(in_blocks(mean, [7]), prepared, np.arange(4)).labels
    wanted = independently_interpolated(mean, prepared)
    margin = np.diff(np.sort(wanted, axis=0)[-2:], axis=0)[0]
    wrong = labels != wanted.argmax(0)
    assert margin[wrong].max(initial=0) < 1e-5


def test_equal_grids_give_the_probabilities_back_bit_for_bit() -> None:
    mean = random_probabilities(0, 3, (4, 5, 6))
    restored = restore(in_blocks(mean, []), prepared_of((4, 5, 6), (4, 5, 6)), np.arange(3), True)
    np.testing.assert_array_equal(restored.probabilities, mean)
    np.testing.assert_array_equal(restored.labels, mean.argmax(0))


def test_entropy_is_that_of_numpy_over_the_logarithm_of_the_number_of_classes() -> None:
    mean = random_probabilities(0, 5, (3, 4, 5))
    mean[:, 0, 0, 0] = [1, 0, 0, 0, 0]
    mean[:, 0, 0, 1] = 0.2
    blocks = in_blocks(mean, [], np.zeros_like(mean))
    entropy = restore(
        blocks, prepared_of((3, 4, 5), (3, 4, 5)), np.arange(5), uncertainty=True
    ).entropy
    assert entropy is not None
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = -np.nansum(mean * np.log(mean), axis=0) / np.log(5)
    np.testing.assert_allclose(entropy, wanted, atol=1e-5)
    assert entropy[0, 0, 0] == pytest.approx(0.0, abs=1e-6)
    assert entropy[0, 0, 1] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("value", "kind"), [(255, np.uint8), (256, np.uint16), (40000, np.uint16)])
def test_large_label_values_are_kept_in_two_bytes(value: int, kind: type) -> None:
    mean = random_probabilities(0, 2, (2, 2, 2))
    mean[1] = 1.5
    labels = restore(
        in_blocks(mean, []), prepared_of((2, 2, 2), (2, 2, 2)), np.array([0, value])
    ).labels
    assert labels.dtype == kind
    assert (labels == value).all()


def directions() -> st.SearchStrategy[tuple[float, ...]]:
    """Any rotation of any of the 48 orientations, left-handed ones too."""

    def compose(
        angles: tuple[float, float, float], order: list[int], signs: tuple[int, ...]
    ) -> tuple[float, ...]:
        turn = sitk.Euler3DTransform()
        turn.SetRotation(*angles)
        matrix = np.reshape(turn.GetMatrix(), (3, 3))
        return tuple((matrix[:, order] * np.asarray(signs)).ravel().tolist())

    angle = st.floats(-3.2, 3.2)
    return st.builds(
        compose,
        st.tuples(angle, angle, angle),
        st.permutations([0, 1, 2]),
        st.tuples(*[st.sampled_from((-1, 1))] * 3),
    )


@settings(max_examples=60, deadline=None)
@given(
    direction=directions(),
    size=SIZES,
    spacing=SPACINGS,
    code=st.sampled_from(["LPS", "RAS", "SPL", "AIR", "PIR"]),
    vector=st.booleans(),
)
def test_oriented_arrays_come_back_onto_the_grid_of_their_image(
    direction: tuple[float, ...],
    size: tuple[int, ...],
    spacing: tuple[float, ...],
    code: str,
    vector: bool,
) -> None:
    source = sitk.GetImageFromArray(np.arange(np.prod(size), dtype=np.uint16).reshape(size))
    source.SetSpacing(spacing)
    source.SetDirection(direction)
    source.SetOrigin((-12.3, 45.6, 78.9))
    oriented = to_orientation(source, code)
    array = sitk.GetArrayFromImage(oriented)
    prepared = Prepared(array[np.newaxis], oriented.GetSpacing(), Geometry.of(oriented))
    back = to_source_grid(np.stack([array, array + 1]) if vector else array, prepared, source)
    assert Geometry.of(back) == Geometry.of(source)
    values = sitk.GetArrayFromImage(back)
    wanted = sitk.GetArrayFromImage(source)
    if vector:
        np.testing.assert_array_equal(values[..., 1], wanted + 1)
        values = values[..., 0]
    np.testing.assert_array_equal(values, wanted)
