"""Each term on features against plain numpy written from its formula."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch import nn

from KDSegmentationLogic.distillation.lesson import Lesson
from KDSegmentationLogic.distillation.terms.i2fv import PrototypeVariation
from KDSegmentationLogic.distillation.terms.masked_boundary import MaskedBoundary
from KDSegmentationLogic.distillation.terms.region_affinity import RegionAffinity
from KDSegmentationLogic.distillation.terms.variation_graph import VariationGraph
from Testing.distillation.feature_lessons import (
    ALL,
    adapters_of,
    arrays,
    cosine,
    each_size,
    lesson,
    number,
    with_last,
)


def attention_reference(told: Lesson) -> float:
    def map_of(features: np.ndarray) -> np.ndarray:
        attention = (np.abs(features) ** 4).mean(axis=0).ravel()
        return attention / np.linalg.norm(attention)

    students, teachers, _ = arrays(told)
    pairs = zip(students, teachers, strict=True)
    return float(np.mean([((map_of(s) - map_of(t)) ** 2).sum() for s, t in pairs]))


def edges(features: np.ndarray, nodes: list[np.ndarray]) -> np.ndarray:
    """Cosines of all pairs of nodes, each a mask, of one sample [c, ...]."""
    means = [features[:, node].mean(axis=1) for node in nodes]
    return np.array([cosine(a, b) for a, b in combinations(means, 2)])


def region_affinity_reference(told: Lesson) -> float:
    total = []
    for student, teacher, labels in zip(*arrays(told), strict=True):
        nodes = [labels == k for k in np.unique(labels)]
        total.append(((edges(student, nodes) - edges(teacher, nodes)) ** 2).sum())
    return float(np.mean(total))


def region_graph_reference(told: Lesson) -> float:
    total = []
    for student, teacher, labels in zip(*arrays(told), strict=True):
        axes = [np.array_split(np.arange(size), 2) for size in labels.shape]
        nodes = []
        for cell, k in product(product(*axes), range(3)):
            inside = np.zeros(labels.shape, bool)
            inside[np.ix_(*cell)] = True
            if (inside & (labels == k)).any():
                nodes.append(inside & (labels == k))
        total.append(((edges(student, nodes) - edges(teacher, nodes)) ** 2).mean())
    return float(np.mean(total))


def i2fv_reference(told: Lesson) -> float:
    def maps(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        prototype = features[:, mask].mean(axis=1)
        return np.array([cosine(f, prototype) for f in features.reshape(len(features), -1).T])

    total = []
    for student, teacher, labels in zip(*arrays(told), strict=True):
        masks = [labels == k for k in np.unique(labels)]
        total.append(sum(((maps(student, m) - maps(teacher, m)) ** 2).mean() for m in masks))
    return float(np.mean(total))


REFERENCES = {
    "attention": attention_reference,
    "region_affinity": region_affinity_reference,
    "region_graph": region_graph_reference,
    "i2fv": i2fv_reference,
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("seed", range(2))
@each_size
def test_a_term_on_features_is_its_reference(name: str, seed: int, size: tuple[int, ...]) -> None:
    told = lesson(size, of_teacher=5, seed=seed)

    assert number(ALL[name], told) == pytest.approx(REFERENCES[name](told), rel=1e-4)


def test_the_variation_graph_is_its_reference() -> None:
    told = lesson((4, 4, 4), channels=2, of_teacher=3)
    term = VariationGraph(grid=2)
    adapters = adapters_of(term, told)
    assert isinstance(adapters, nn.ModuleDict)

    def cells(features: np.ndarray) -> np.ndarray:
        # of one sample [c, z, y, x]: two cells an axis
        z, y, x = (size // 2 for size in features.shape[1:])
        blocks = np.abs(features).reshape(len(features), 2, z, 2, y, 2, x)
        return blocks.mean(axis=(2, 4, 6)).reshape(len(features), -1)

    def graph(coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
        return np.array([[1 - np.corrcoef(a, b)[0, 1] for b in cells(fine)] for a in cells(coarse)])

    found = {}
    for name in term.layers:
        student, teacher, _ = arrays(told, name)
        weight = adapters.get_parameter(f"{name}.weight").detach().double().numpy().reshape(3, 2)
        found[name] = (np.einsum("dc,nc...->nd...", weight, student), teacher)
    (deep, deep_aim), (last, last_aim) = (found[name] for name in ("bottleneck", "last"))
    expected = np.mean(
        [(graph(deep[i], last[i]) - graph(deep_aim[i], last_aim[i])) ** 2 for i in range(len(deep))]
    )

    assert number(term, told, adapters) == pytest.approx(float(expected), rel=1e-4)


def test_masked_boundaries_are_hidden_from_the_generator_and_nothing_else_is() -> None:
    labels = np.zeros((1, 1, 8), int)
    labels[..., 4:] = 1
    random = np.random.default_rng(0)
    student, teacher = random.standard_normal((2, 1, 2, 1, 8))
    told = with_last(student, teacher, labels)
    term = MaskedBoundary(share=1.0, radius=1)
    copy = nn.Conv2d(2, 2, 1, bias=False)
    nn.init.dirac_(copy.weight)

    # voxels 3 and 4 touch the border; what a generator that copies makes of them is zero
    student[..., 3:5] = 0
    aim = teacher / np.sqrt((teacher**2).mean())
    expected = ((student - aim) ** 2).mean()

    assert number(term, told, nn.ModuleDict({"last": copy})) == pytest.approx(expected, rel=1e-5)


def test_masked_boundaries_hide_the_given_share_within_the_given_radius() -> None:
    labels = np.zeros((1, 40, 40), int)
    labels[..., 20:] = 1
    told = with_last(np.ones((1, 1, 40, 40)), np.ones((1, 1, 40, 40)), labels)
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x

    torch.manual_seed(0)
    MaskedBoundary(share=0.5, radius=3)(told, nn.ModuleDict({"last": Spy()}))

    hidden = seen[0][0, 0] == 0
    assert hidden.any(0).nonzero().flatten().tolist() == list(range(17, 23))
    assert float(hidden[:, 17:23].float().mean()) == pytest.approx(0.5, abs=0.1)


def test_a_class_counts_for_the_samples_that_have_it_though_another_lacks_it() -> None:
    told = lesson(n=2)
    labels = told.labels.clone()
    labels[1][labels[1] == 2] = 0
    told = replace(told, labels=labels)

    assert number(PrototypeVariation(), told) == pytest.approx(i2fv_reference(told), rel=1e-4)


def test_a_structure_of_one_voxel_is_still_a_region_of_a_coarse_layer() -> None:
    told = lesson((8, 8), n=1)
    labels = torch.zeros_like(told.labels)
    labels[0, 5, 5] = 1
    term = RegionAffinity(layers=("bottleneck",))
    student, teacher, _ = arrays(told, "bottleneck")

    def affinity(features: np.ndarray) -> float:
        flat, at = features[0].reshape(4, -1), 2 * 4 + 2
        shares = np.ones(16)
        shares[at] = 3 / 4
        return cosine((flat * shares).sum(1), flat[:, at])

    expected = (affinity(student) - affinity(teacher)) ** 2
    assert number(term, replace(told, labels=labels)) == pytest.approx(expected, rel=1e-4)
