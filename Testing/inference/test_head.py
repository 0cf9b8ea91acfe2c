"""A network of more classes than features: its last layer is applied plane by plane."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import NO_SUM, Label, Member
from KDSegmentationLogic.bundles.writing import save_bundle
from KDSegmentationLogic.inference.engines.base import Engine
from KDSegmentationLogic.inference.engines.head import Head
from KDSegmentationLogic.inference.pipeline import Predictor, Result, Settings
from KDSegmentationLogic.inference.predict import pad_to_multiple
from KDSegmentationLogic.inference.preprocess import preprocess
from KDSegmentationLogic.networks.registry import build_network
from KDSegmentationLogic.progress import Monitor
from Testing.making import tiny_student

CLASSES, CHANNELS = 9, 4
ARGUMENTS = {"in_channels": 1, "classes": CLASSES, "widths": [CHANNELS, 8]}
ENGINES = [name for name in ("openvino", "onnxruntime") if importlib.util.find_spec(name)]


@pytest.fixture
def of_nine_classes(tmp_path: Path) -> Callable[..., Bundle]:
    def make(whole: bool) -> Bundle:
        torch.manual_seed(5)
        network = build_network("student_unet", ARGUMENTS).eval()
        torch.nn.init.normal_(network.classifier.weight)  # type: ignore[arg-type]
        weights = "models/model.safetensors"
        member = Member("student_unet", ARGUMENTS, weights, NO_SUM, (8, 8, 8), whole)
        like = tiny_student(tmp_path / "like").description
        seen = preprocess([noise()], like.channels, like.grid).array
        with torch.no_grad():  # no class outweighs the others everywhere
            logits = network(torch.from_numpy(pad_to_multiple(seen, (4, 4, 4))[None]))
            network.classifier.bias.sub_(logits.mean((0, 2, 3, 4)))  # type: ignore[union-attr]
        labels = tuple(Label(k, f"structure {k}", (k, 0, 0)) for k in range(1, CLASSES))
        described = replace(like, members=(member,), labels=labels)
        return save_bundle(tmp_path / "bundle", described, [network])

    return make


def noise() -> sitk.Image:
    array = np.random.default_rng(0).normal(100, 80, (14, 17, 20)).astype(np.float32)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.9, 1.1, 1.3))
    return image


def segmented(bundle: Bundle, engine: str) -> tuple[Engine, Result]:
    settings = Settings("cpu", engine, 1, probabilities=True, uncertainty=True)
    predictor = Predictor(bundle, settings)
    return predictor._runners[0].engine, predictor.segment([noise()])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("whole", [True, False])
def test_a_network_that_stops_at_its_features_gives_the_same_maps(
    of_nine_classes, engine, whole
) -> None:
    bundle = of_nine_classes(whole)
    short, found = segmented(bundle, engine)
    full, wanted = segmented(bundle, "torch")
    assert short.head is not None
    assert full.head is None
    labels = sitk.GetArrayFromImage(wanted.labels)
    assert len(np.unique(labels)) > 4
    same = sitk.GetArrayFromImage(found.labels) == labels
    assert same.mean() > 0.9999  # scores alike to the last digit may fall either way
    for name in ("probabilities", "entropy"):
        short_map, full_map = (
            sitk.GetArrayFromImage(getattr(result, name)) for result in (found, wanted)
        )
        np.testing.assert_allclose(short_map, full_map, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_logits_and_probabilities_of_a_batch_are_of_all_classes(engine_of, engine) -> None:
    torch.manual_seed(1)
    network = build_network("student_unet", ARGUMENTS).eval()
    batch = np.random.default_rng(2).normal(size=(2, 1, 8, 12, 16)).astype(np.float32)
    short, full = engine_of(engine, network), engine_of("torch", network)
    for scores in ("logits", "probabilities"):
        found, wanted = (getattr(e, scores)(batch, Monitor()) for e in (short, full))
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert short.features(batch, Monitor()).shape[1] == CHANNELS


def test_a_head_is_the_convolution_that_it_replaces() -> None:
    convolution = torch.nn.Conv3d(3, 5, 1)
    features = torch.randn(3, 4, 5, 6)
    weights, bias = (p.detach().numpy() for p in convolution.parameters())
    found = Head(weights.reshape(5, 3), bias)(features.numpy())
    np.testing.assert_allclose(found, convolution(features).detach(), atol=1e-5)


@pytest.fixture
def of_two_heads(tmp_path: Path) -> tuple[Bundle, torch.nn.Module]:
    """A student of full resolution with random heads, and its network."""
    torch.manual_seed(6)
    sizes = {"in_channels": 1, "classes": 2, "widths": [4, 8], "stem_stride": 1}
    arguments = {**sizes, "deviation": True}
    network = build_network("student_unet", arguments).eval()
    member = Member("student_unet", arguments, "models/model.safetensors", NO_SUM, (8, 8, 8))
    like = tiny_student(tmp_path / "like").description
    described = replace(like, members=(member,), labels=(Label(1, "ball", (9, 0, 0)),))
    return save_bundle(tmp_path / "bundle", described, [network]), network


def of_size(*size: int) -> sitk.Image:
    """Voxels of 1 mm, as the networks here see them."""
    array = np.random.default_rng(1).normal(100, 80, size).astype(np.float32)
    return sitk.GetImageFromArray(array)


@pytest.mark.parametrize("engine", ["torch", *ENGINES])
def test_a_second_head_says_how_far_the_ensemble_disagrees(of_two_heads, engine) -> None:
    bundle, network = of_two_heads
    image = of_size(8, 12, 16)
    description = bundle.description
    seen = preprocess([image], description.channels, description.grid).array
    with torch.no_grad():
        logits, wanted = network.forward_with_deviation(torch.from_numpy(seen[None]))

    settings = Settings("cpu", engine, 1, probabilities=True, uncertainty=True)
    result = Predictor(bundle, settings).segment([image])

    found = np.moveaxis(sitk.GetArrayFromImage(result.deviation), -1, 0)
    np.testing.assert_allclose(found, wanted[0], atol=1e-5)
    assert np.ptp(found) > 0.01
    probabilities = np.moveaxis(sitk.GetArrayFromImage(result.probabilities), -1, 0)
    np.testing.assert_allclose(probabilities, logits.softmax(1)[0], atol=1e-5)


@pytest.mark.parametrize("engine", ["torch", *ENGINES])
def test_a_second_head_that_is_not_asked_changes_nothing(of_two_heads, engine) -> None:
    bundle, _ = of_two_heads
    image = of_size(8, 12, 16)

    asked, unasked = (
        Predictor(bundle, Settings("cpu", engine, 1, uncertainty=both)).segment([image])
        for both in (True, False)
    )

    assert unasked.deviation is None
    assert sitk.Hash(asked.labels) == sitk.Hash(unasked.labels)
