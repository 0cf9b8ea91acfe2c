"""From a bundle's plain settings to a network, or to a sentence that says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.networks.registry import ARCHITECTURES, build_network

BASE = {"in_channels": 1, "classes": 2}


def refusal(name: str, arguments: dict[str, Any]) -> BundleError:
    with pytest.raises(BundleError) as caught:
        build_network(name, arguments)
    return caught.value


def test_an_unknown_architecture_is_refused_with_the_known_names() -> None:
    error = refusal("transformer", BASE)
    assert "'transformer'" in error.cause
    assert all(name in error.remedy for name in ARCHITECTURES)


def test_an_unknown_argument_is_refused_with_the_known_ones() -> None:
    error = refusal("resnet3d", {**BASE, "depth": 3})
    assert "'depth'" in error.cause
    assert "blocks" in error.remedy


def test_a_missing_argument_is_refused_by_name() -> None:
    assert "'classes'" in refusal("unet3d", {"in_channels": 1}).cause


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        ("resnet3d", "blocks", "6"),
        ("resnet3d", "blocks", True),
        ("resnet3d", "blocks", 2.0),
        ("resnet3d", "blocks", 0),
        ("resnet3d", "width", 10**7),
        ("resnet3d", "dropout", 1.5),
        ("resnet3d", "dropout", float("nan")),
        ("resnet3d", "dropout", None),
        ("unet3d", "widths", 32),
        ("unet3d", "widths", [32, "64"]),
        ("unet3d", "widths", [32, -64]),
        ("dilated2d", "head", [96, 192, 5]),
        ("dilated2d", "head", "96"),
        ("student_unet", "stem_stride", [1, 2.5, 2]),
        ("student_unet", "stem_stride", {"z": 1}),
    ],
)
def test_a_value_of_a_wrong_type_is_refused_with_its_name(
    name: str, argument: str, value: Any
) -> None:
    error = refusal(name, {**BASE, argument: value})
    assert repr(argument) in error.cause
    assert error.remedy.startswith("Give a")


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        ("student_unet", "dimensions", 4),
        ("student_unet", "stem_stride", 3),
        ("student_unet", "stem_stride", [2, 2]),
        ("student_unet", "widths", []),
        ("unet3d", "widths", []),
    ],
)
def test_a_value_that_makes_no_network_is_refused_with_the_reason(
    name: str, argument: str, value: Any
) -> None:
    error = refusal(name, {**BASE, argument: value})
    assert argument in error.cause
    assert repr(name) in error.cause


def test_a_network_that_would_fill_the_memory_is_refused_before_it_is_built() -> None:
    assert "parameters" in refusal("unet3d", {**BASE, "widths": [4096, 4096, 4096]}).cause


def test_a_list_stands_for_a_tuple_and_a_whole_number_for_a_rate() -> None:
    network = build_network("dilated2d", {**BASE, "head": [8, 4], "width": 4, "dropout": 0})
    assert network.classifier.in_channels == 4
