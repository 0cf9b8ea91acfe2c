"""What must not change the labels: threads, windows larger than the image, other cases before."""

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
from KDSegmentationLogic.bundles.description import NO_SUM, Member
from KDSegmentationLogic.bundles.writing import save_bundle
from KDSegmentationLogic.inference.pipeline import Predictor, Settings
from KDSegmentationLogic.inference.predict import pad_to_multiple
from KDSegmentationLogic.inference.preprocess import preprocess
from KDSegmentationLogic.networks.registry import build_network
from Testing.making import tiny_student

ARGUMENTS = {"in_channels": 1, "classes": 3, "widths": [4, 8]}


@pytest.fixture
def random_bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """Random weights: many boundaries, where the least difference shows."""

    def make(name: str, patch: tuple[int, ...], whole: bool) -> Bundle:
        torch.manual_seed(3)
        network = build_network("student_unet", ARGUMENTS).eval()
        weights = "models/model.safetensors"
        member = Member("student_unet", ARGUMENTS, weights, NO_SUM, patch, whole)
        described = tiny_student(tmp_path / f"{name}-like").description
        seen = preprocess(images()[:1], described.channels, described.grid).array
        with torch.no_grad():  # no class outweighs the others everywhere
            logits = network(torch.from_numpy(pad_to_multiple(seen, (4, 4, 4))[None]))
            network.classifier.bias.sub_(logits.mean((0, 2, 3, 4)))  # type: ignore[union-attr]
        described = replace(described, members=(member,))
        return save_bundle(tmp_path / name, described, [network])

    return make


def images() -> list[sitk.Image]:
    found = []
    for seed, shape in enumerate([(14, 17, 20), (20, 14, 14), (9, 22, 16)]):
        array = np.random.default_rng(seed).normal(100, 80, shape).astype(np.float32)
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.9, 1.1, 1.3))
        found.append(image)
    return found


def labels_of(predictor: Predictor, some: list[sitk.Image]) -> list[np.ndarray]:
    return [sitk.GetArrayFromImage(predictor.segment([image]).labels) for image in some]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_labels_do_not_depend_on_the_number_of_threads(
    engine: str, random_bundle: Callable[..., Bundle]
) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"needs {engine}")
    bundle = random_bundle("model", (32, 32, 32), True)
    one, two = (
        labels_of(Predictor(bundle, Settings("cpu", engine, threads)), images()[:1])[0]
        for threads in (1, 2)
    )
    assert len(np.unique(one)) > 1
    np.testing.assert_array_equal(one, two)


def test_labels_do_not_depend_on_the_size_of_a_window_that_holds_the_image(
    random_bundle: Callable[..., Bundle],
) -> None:
    settings = Settings("cpu", "torch", 1)
    variants = [((32, 32, 32), True), ((32, 32, 32), False), ((64, 40, 48), False)]
    found = [
        labels_of(Predictor(random_bundle(f"model{n}", *variant), settings), images()[:1])[0]
        for n, variant in enumerate(variants)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_labels_do_not_depend_on_the_order_of_cases(
    random_bundle: Callable[..., Bundle],
) -> None:
    bundle, some = random_bundle("model", (16, 16, 16), True), images()
    settings = Settings("cpu", "auto", 1)
    forwards = labels_of(Predictor(bundle, settings), some)
    backwards = labels_of(Predictor(bundle, settings), some[::-1])[::-1]
    for first, second in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(first, second)
