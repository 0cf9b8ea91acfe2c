"""One transform moves image, labels and soft maps alike; without shear, and nothing when zero."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from KDSegmentationLogic.training.augmentation import Augmentation, Draws, augment
from KDSegmentationLogic.training.sampling import Batch
from Testing.training.balls import STILL

SHAPES = [(18, 30, 24), (40, 12, 20), (32, 20), (17, 41)]
MOVING = replace(STILL, rotation_deg=15, scale=0.2, shift=0.1)


def draws(count: int, seed: int = 0) -> Draws:
    return Draws(range(100 * seed, 100 * seed + count))


def marked(shape: tuple[int, ...], count: int = 6) -> Batch:
    """Each voxel tells where it is: a channel an axis holds its index, a pair of soft maps an
    axis its share of the length and the rest; the label is the number of the voxel."""
    places = torch.from_numpy(np.indices(shape)).float()
    share = places / torch.tensor(shape).view(-1, *[1] * len(shape)) / len(shape)
    soft = torch.cat([share, 1 / len(shape) - share])
    labels = torch.arange(int(np.prod(shape))).view(shape)
    one = (places, labels, soft)
    image, label, maps = (t.expand(count, *t.shape).clone() for t in one)
    return Batch(("case",) * len(image), image, label, maps)


def moved(shape: tuple[int, ...], how: Augmentation, seed: int = 0, count: int = 6) -> Batch:
    return augment(marked(shape, count), how, draws(count, seed))


def affine_maps(shape: tuple[int, ...], image: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each patch the matrix and offset, in voxels, that lead from a voxel of the result to
    where it was taken from; fitted to the voxels that came from inside the patch."""
    result = []
    ends = np.array(shape)[:, np.newaxis] - 1
    target = np.indices(shape).reshape(len(shape), -1)
    for source in image.numpy().reshape(len(image), len(shape), -1):
        inside = ((source > 1e-3) & (source < ends - 1e-3)).all(axis=0)
        assert inside.sum() > 0.2 * inside.size
        rows = np.vstack([target, np.ones(target.shape[1])])[:, inside].T
        solution, *_ = np.linalg.lstsq(rows, source[:, inside].T, rcond=None)
        assert np.allclose(rows @ solution, source[:, inside].T, atol=1e-3), "not an affine map"
        result.append((solution[:-1].T, solution[-1]))
    return result


def angles_deg(shape: tuple[int, ...], image: torch.Tensor) -> list[float]:
    """The angle of a rotation, from its trace."""
    traces = [np.trace(matrix) - (len(shape) - 2) for matrix, _ in affine_maps(shape, image)]
    return [float(np.degrees(np.arccos(np.clip(t / 2, -1, 1)))) for t in traces]


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_come_from_the_voxel_nearest_to_where_the_image_came_from(
    shape: tuple[int, ...],
) -> None:
    result = moved(shape, MOVING)

    nearest = np.stack(np.unravel_index(result.labels.numpy(), shape), axis=1)
    assert np.abs(nearest - result.image.numpy()).max() <= 0.5 + 1e-3
    assert np.abs(nearest - np.indices(shape)).max() > 2, "nothing moved"


@pytest.mark.parametrize("shape", SHAPES)
def test_soft_maps_come_from_exactly_where_the_image_came_from(shape: tuple[int, ...]) -> None:
    result = moved(shape, MOVING)

    assert result.soft is not None
    lengths = torch.tensor(shape).view(1, -1, *[1] * len(shape))
    share = result.image / lengths / len(shape)
    assert torch.allclose(result.soft[:, : len(shape)], share, atol=1e-5)
    assert torch.allclose(result.soft[:, len(shape) :], 1 / len(shape) - share, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_soft_maps_still_sum_to_one(shape: tuple[int, ...]) -> None:
    result = moved(shape, Augmentation())

    assert result.soft is not None
    assert torch.allclose(result.soft.sum(1), torch.ones(()), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_labels_stay_whole_numbers_of_the_patch(shape: tuple[int, ...]) -> None:
    batch = marked(shape)
    batch.labels = batch.labels % 5

    labels = augment(batch, MOVING, draws(len(batch.image))).labels

    assert labels.dtype == torch.int64
    assert set(labels.unique().tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rotation_keeps_distances_in_voxels(shape: tuple[int, ...]) -> None:
    result = moved(shape, replace(STILL, rotation_deg=15))

    for matrix, _ in affine_maps(shape, result.image):
        assert np.allclose(matrix @ matrix.T, np.eye(len(shape)), atol=1e-3)
        assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-3)


def test_a_rotation_keeps_distances_in_millimetres() -> None:
    shape, spacing = (10, 24, 26), np.array([4.0, 1.0, 2.0])
    batch = marked(shape)
    batch.spacing = torch.tensor([spacing.tolist()] * len(batch.image))

    result = augment(batch, replace(STILL, rotation_deg=15), draws(len(batch.image)))

    for matrix, _ in affine_maps(shape, result.image):
        in_mm = spacing[:, np.newaxis] * matrix / spacing
        assert np.allclose(in_mm @ in_mm.T, np.eye(3), atol=1e-3)
        assert not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-2)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rotation_turns_about_the_middle_of_the_patch(shape: tuple[int, ...]) -> None:
    middle = (np.array(shape) - 1) / 2

    for matrix, offset in affine_maps(shape, moved(shape, replace(STILL, rotation_deg=15)).image):
        assert np.allclose(matrix @ middle + offset, middle, atol=1e-2)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_patch_turns_by_an_angle_of_its_own(shape: tuple[int, ...]) -> None:
    angles = angles_deg(shape, moved(shape, replace(STILL, rotation_deg=10)).image)

    assert len({round(angle, 2) for angle in angles}) == len(angles)


def test_the_angle_has_the_stated_standard_deviation() -> None:
    angles = angles_deg((20, 20), moved((20, 20), replace(STILL, rotation_deg=10), count=400).image)

    assert np.sqrt(np.mean(np.square(angles))) == pytest.approx(10, rel=0.12)


def test_a_volume_turns_round_all_of_its_axes() -> None:
    result = moved((16, 16, 16), replace(STILL, rotation_deg=10), count=200)

    matrices = np.array([matrix for matrix, _ in affine_maps((16, 16, 16), result.image)])
    for a, b in ((0, 1), (0, 2), (1, 2)):
        turned = np.degrees((matrices[:, a, b] - matrices[:, b, a]) / 2)
        assert turned.std() == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_zoom_stays_within_its_bounds_and_does_not_turn(shape: tuple[int, ...]) -> None:
    low, high = 0.8 * (1 - 0.2 / 3), 1.2 * (1 + 0.2 / 3)

    zooms = []
    for matrix, _ in affine_maps(shape, moved(shape, replace(STILL, scale=0.2)).image):
        assert np.allclose(matrix, np.diag(np.diag(matrix)), atol=1e-3)
        zooms += list(np.diag(matrix))
    assert low <= min(zooms) < max(zooms) <= high
    assert max(zooms) - min(zooms) > 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shift_stays_within_its_share_of_the_patch(shape: tuple[int, ...]) -> None:
    shares = []
    for matrix, offset in affine_maps(shape, moved(shape, replace(STILL, shift=0.1)).image):
        assert np.allclose(matrix, np.eye(len(shape)), atol=1e-3)
        shares.append(offset / np.array(shape))
    assert np.abs(shares).max() <= 0.1 + 1e-4
    assert np.abs(shares).max() > 0.05


@pytest.mark.parametrize("shape", SHAPES)
def test_zero_settings_change_nothing(shape: tuple[int, ...]) -> None:
    before, after = marked(shape), moved(shape, STILL)

    assert before.soft is not None
    assert after.soft is not None
    assert torch.equal(after.labels, before.labels)
    assert torch.allclose(after.image, before.image, atol=1e-4)
    assert torch.allclose(after.soft, before.soft, atol=1e-5)


def test_the_same_generator_seed_gives_the_same_result_and_another_one_does_not() -> None:
    first, again, other = (moved((12, 16, 14), Augmentation(), seed) for seed in (4, 4, 5))

    assert torch.equal(first.image, again.image)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.image, other.image)
    assert not torch.equal(first.labels, other.labels)


@pytest.mark.parametrize("name", ["noise", "contrast", "gamma", "gain"])
def test_intensities_change_alone(name: str) -> None:
    before = marked((10, 12, 14))
    after = moved((10, 12, 14), replace(STILL, **{name: 0.3}))

    assert before.soft is not None
    assert after.soft is not None
    assert torch.equal(after.labels, before.labels)
    assert torch.allclose(after.soft, before.soft, atol=1e-5)
    assert not torch.allclose(after.image, before.image, atol=0.01)
    assert float((after.image - before.image).abs().max()) < 13


def test_gamma_keeps_the_lowest_and_the_highest_value_and_the_order() -> None:
    image = torch.linspace(-2, 3, 60).view(1, 1, 3, 4, 5)
    batch = Batch(("case",), image, torch.zeros(1, 3, 4, 5, dtype=torch.int64))

    result = augment(batch, replace(STILL, gamma=0.5), draws(1, 1)).image

    values = result.flatten()
    assert float(values[0]) == pytest.approx(-2, abs=1e-4)
    assert float(values[-1]) == pytest.approx(3, abs=1e-4)
    assert bool((values.diff() >= -1e-5).all())


def test_a_constant_patch_stays_finite() -> None:
    batch = Batch(("a", "b"), torch.full((2, 1, 4, 4, 4), 3.0), torch.zeros(2, 4, 4, 4).long())

    result = augment(batch, Augmentation(), draws(len(batch.image)))

    assert bool(result.image.isfinite().all())
    assert result.soft is None


def test_the_batch_that_came_in_stays_as_it_was() -> None:
    batch, copy = marked((8, 9, 10)), marked((8, 9, 10))

    augment(batch, Augmentation(), draws(len(batch.image)))

    assert torch.equal(batch.image, copy.image)
    assert torch.equal(batch.labels, copy.labels)


def test_what_a_patch_undergoes_does_not_depend_on_the_patches_beside_it() -> None:
    torch.manual_seed(0)
    both = Batch(("a", "b"), torch.randn(2, 1, 6, 5, 4), torch.randint(0, 3, (2, 6, 5, 4)))
    alone = Batch(("b",), both.image[1:].clone(), both.labels[1:].clone())

    beside = augment(both, Augmentation(), Draws([7, 8]))
    single = augment(alone, Augmentation(), Draws([8]))

    assert torch.equal(beside.image[1], single.image[0])
    assert torch.equal(beside.labels[1], single.labels[0])


def test_only_the_stated_share_of_patches_is_moved_and_changed() -> None:
    count = 400
    still = Batch(("a",) * count, torch.randn(count, 1, 6, 6), torch.zeros(count, 6, 6).long())

    spatial = augment(still, replace(MOVING, spatial_share=0.25), draws(count))
    intensity = augment(
        still, replace(STILL, noise=0.1, spatial_share=0, intensity_share=0.5), draws(count)
    )

    assert 60 < int((spatial.image != still.image).flatten(1).any(1).sum()) < 140
    assert 160 < int((intensity.image != still.image).flatten(1).any(1).sum()) < 240


def test_a_patch_that_is_not_moved_keeps_everything() -> None:
    batch = marked((8, 6, 10))

    result = augment(batch, replace(Augmentation(), spatial_share=0, intensity_share=0), draws(6))

    assert torch.equal(result.image, batch.image)
    assert torch.equal(result.labels, batch.labels)
    assert result.soft is not None
    assert batch.soft is not None
    assert torch.equal(result.soft, batch.soft)


@pytest.mark.parametrize("share", ["spatial_share", "intensity_share"])
def test_a_share_above_one_is_refused(share: str) -> None:
    with pytest.raises(ValueError, match=f"{share} must be a share from 0 to 1"):
        Augmentation(**{share: 1.5})


def test_the_deviation_moves_with_the_soft_maps() -> None:
    batch = marked((9, 11, 7))
    batch.deviation = batch.soft

    result = augment(batch, MOVING, draws(6))

    assert result.soft is not None
    assert result.deviation is not None
    assert torch.equal(result.soft, result.deviation)


def test_a_gain_alone_multiplies_half_of_the_channels_within_its_spread() -> None:
    batch = marked((6, 5), count=60)
    result = augment(batch, replace(STILL, gain=0.1), draws(60))

    factors = (result.image.flatten(2).sum(2) / batch.image.flatten(2).sum(2)).flatten()
    torch.testing.assert_close(result.image, batch.image * factors.view(60, -1, 1, 1))
    assert 0.4 < float((factors == 1).float().mean()) < 0.6
    assert float((factors - 1).abs().max()) <= 0.1
    assert float((factors - 1).abs().max()) > 0.08
