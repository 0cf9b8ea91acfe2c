"""Our figures beside those of MONAI, SimpleITK, DeepMind's surface-distance and brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.distance import cdist

from KDSegmentationLogic.evaluation.metrics import MaskComparison, compare_masks
from KDSegmentationLogic.evaluation.structures import compare_labels
from KDSegmentationLogic.evaluation.surface import surface, surface_distances

SPACING = (2.5, 0.7, 1.1)


def blobs(seed: int, shape: tuple[int, ...] = (18, 30, 26)) -> tuple[np.ndarray, np.ndarray]:
    """Two smooth random masks that overlap in part and reach the border of the image."""
    random = np.random.default_rng(seed)
    common = gaussian_filter(random.standard_normal(shape), 2.5)
    other = gaussian_filter(random.standard_normal(shape), 2.5)
    level = 0.3 * common.std()
    return common > level, common + 0.6 * other > level


def monai_figures(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]
) -> tuple[float, ...]:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    first, second = (torch.from_numpy(mask[None, None]) for mask in (prediction, reference))
    dice = metrics.compute_dice(first, second, include_background=True)
    surfaces = {"include_background": True, "spacing": spacing}
    hd95 = metrics.compute_hausdorff_distance(first, second, percentile=95, **surfaces)
    assd = metrics.compute_average_surface_distance(first, second, symmetric=True, **surfaces)
    # MONAI has distances in 32 bits, of which one of exactly 1 mm may come out above it
    near = metrics.compute_surface_dice(first, second, [1.0 + 1e-6], **surfaces)
    return dice.item(), hd95.item(), assd.item(), near.item()


def figures(found: MaskComparison) -> tuple[float, ...]:
    return found.dice, found.hd95, found.assd, found.surface_dice


def label_image(mask: np.ndarray, spacing: tuple[float, ...]) -> sitk.Image:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    return image


@pytest.mark.parametrize("seed", range(4))
def test_random_blobs_measure_as_in_monai(seed: int) -> None:
    first, second = blobs(seed)
    ours = figures(compare_masks(first, second, SPACING))
    # MONAI counts in 32 bits.
    assert ours == pytest.approx(monai_figures(first, second, SPACING), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_flat_blobs_measure_as_in_monai(seed: int) -> None:
    first, second = blobs(seed, (60, 50))
    ours = figures(compare_masks(first, second, (0.4, 1.3)))
    assert ours == pytest.approx(monai_figures(first, second, (0.4, 1.3)), rel=1e-5)


def test_distances_are_those_of_an_exact_distance_transform() -> None:
    first, second = blobs(7)
    there, back = surface_distances(first, second, SPACING)
    first_surface, second_surface = surface(first), surface(second)
    to_second = distance_transform_edt(~second_surface, sampling=SPACING)
    to_first = distance_transform_edt(~first_surface, sampling=SPACING)
    np.testing.assert_allclose(there, to_second[first_surface], atol=1e-9)
    np.testing.assert_allclose(back, to_first[second_surface], atol=1e-9)


def test_distances_are_those_of_every_pair_of_surface_voxels() -> None:
    first, second = blobs(8, (10, 12, 11))
    pairs = cdist(*(np.argwhere(surface(mask)) * SPACING for mask in (first, second)))
    there, back = surface_distances(first, second, SPACING)
    np.testing.assert_allclose(there, pairs.min(axis=1), atol=1e-9)
    np.testing.assert_allclose(back, pairs.min(axis=0), atol=1e-9)


def test_the_surface_is_simpleitks_contour() -> None:
    first, _ = blobs(9)
    contour = sitk.BinaryContour(
        label_image(np.pad(first, 1), SPACING), fullyConnected=False, foregroundValue=1
    )
    np.testing.assert_array_equal(
        surface(first), sitk.GetArrayFromImage(contour)[1:-1, 1:-1, 1:-1] == 1
    )


def test_overlap_and_volume_agree_with_simpleitk() -> None:
    first, second = blobs(10)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(label_image(second, SPACING), label_image(first, SPACING))
    found = compare_masks(first, second, SPACING)
    assert found.dice == pytest.approx(overlap.GetDiceCoefficient())
    assert found.relative_volume_difference == pytest.approx(first.sum() / second.sum() - 1)


def test_the_largest_distance_of_thin_masks_agrees_with_simpleitk() -> None:
    # SimpleITK measures from every foreground voxel to the other mask, not between surfaces;
    # both are the same where every voxel is on the surface.
    first, second = (surface(mask) for mask in blobs(11))
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(label_image(first, SPACING), label_image(second, SPACING))
    there, back = surface_distances(first, second, SPACING)
    assert max(there.max(), back.max()) == pytest.approx(hausdorff.GetHausdorffDistance())


def test_deepminds_surface_distance_is_within_half_a_voxel() -> None:
    # It places the surface between voxels and weighs its elements by area, so the figures are
    # near, not equal.
    surface_distance = pytest.importorskip("surface_distance")
    z, y, x = np.ogrid[:24, :40, :40]
    first = (2 * (z - 12)) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 < 14**2
    second = (2 * (z - 12)) ** 2 + (y - 22) ** 2 + (x - 19) ** 2 < 12**2
    spacing = (2.0, 1.0, 1.0)
    distances = surface_distance.compute_surface_distances(first, second, spacing)
    found = compare_masks(first, second, spacing)
    hd95 = surface_distance.compute_robust_hausdorff(distances, 95)
    assd = np.mean(surface_distance.compute_average_surface_distance(distances))
    assert found.hd95 == pytest.approx(hd95, abs=0.5)
    assert found.assd == pytest.approx(assd, abs=0.5)


@pytest.mark.parametrize("axis", [0, 1])
def test_real_labels_moved_by_a_voxel_measure_as_in_monai(data_folder: Path, axis: int) -> None:
    files = sorted((data_folder / "Task04_Hippocampus" / "labelsTr").glob("*.nii.gz"))[:2]
    if len(files) < 2:
        pytest.skip("needs labels of Task04_Hippocampus")
    for file in files:
        reference = sitk.ReadImage(str(file))
        array = sitk.GetArrayFromImage(reference)
        moved = np.roll(array, 2, axis)
        moved[5:8] = 0
        prediction = sitk.GetImageFromArray(moved)
        prediction.CopyInformation(reference)
        results = compare_labels(prediction, reference, {1: "anterior", 2: "posterior"})
        assert [result.value for result in results] == [1, 2]
        for result in results:
            spacing = reference.GetSpacing()[::-1]
            theirs = monai_figures(moved == result.value, array == result.value, spacing)
            assert result.dice < 1.0
            assert figures(result) == pytest.approx(theirs, rel=1e-5)


def test_real_labels_of_two_patients_measure_as_in_monai(data_folder: Path) -> None:
    files = sorted((data_folder / "Task04_Hippocampus" / "labelsTr").glob("*.nii.gz"))[:2]
    if len(files) < 2:
        pytest.skip("needs labels of Task04_Hippocampus")
    reference = sitk.ReadImage(str(files[0]))
    prediction = sitk.Resample(
        sitk.ReadImage(str(files[1])), reference, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    results = compare_labels(prediction, reference, {1: "anterior", 2: "posterior"})
    arrays = [sitk.GetArrayFromImage(image) for image in (prediction, reference)]
    for result in results:
        first, second = (array == result.value for array in arrays)
        theirs = monai_figures(first, second, reference.GetSpacing()[::-1])
        assert result.presence == "both"
        assert figures(result) == pytest.approx(theirs, rel=1e-5)
