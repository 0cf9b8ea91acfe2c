"""Promises that every architecture keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network, parameter_count

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "dilated2d": ("dilated2d", {"width": 6, "head": [8, 8], "dilations": [2, 4]}),
    "pyramid2d": ("pyramid2d", {"widths": [4, 6], "rates": [2]}),
    "resnet3d": ("resnet3d", {"width": 4, "blocks": 1}),
    "unet3d": ("unet3d", {"widths": [4, 6, 8]}),
    "vnet3d": ("vnet3d", {"widths": [4, 6, 8]}),
    "student 3-D": ("student_unet", {"widths": [4, 6, 8]}),
    "student 2-D": ("student_unet", {"dimensions": 2, "widths": [4, 6, 8], "stem_stride": 1}),
    "student anisotropic": (
        "student_unet",
        {"widths": [4, 6], "stem_stride": [1, 2, 2], "convs_per_level": 1},
    ),
    "student one level": ("student_unet", {"widths": [4]}),
}


@pytest.fixture(params=SMALL)
def network(request: pytest.FixtureRequest) -> SegmentationNetwork:
    """A small network of each kind, two channels in and three classes, in evaluation mode."""
    return small(request.param)


def small(case: str) -> SegmentationNetwork:
    name, arguments = SMALL[case]
    torch.manual_seed(7)
    network = build_network(name, {"in_channels": 2, "classes": 3, **arguments}).eval()
    # Running statistics as after some training; at their start batch norm is the identity.
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.05, 0.2)
    return network


def size_of(network: SegmentationNetwork, cells: int = 3) -> tuple[int, ...]:
    """A size of different extent per axis that the network takes."""
    return tuple(d * (cells + axis) for axis, d in enumerate(network.divisor))


@pytest.mark.parametrize(
    ("name", "channels", "classes", "count"),
    [
        ("dilated2d", 1, 4, 87_876),
        ("dilated2d", 1, 5, 88_069),
        ("dilated2d", 1, 7, 88_455),
        ("resnet3d", 1, 5, 5_869_029),
        ("unet3d", 1, 5, 5_602_661),
        ("vnet3d", 1, 4, 9_446_820),
        ("vnet3d", 4, 4, 9_448_116),
    ],
)
def test_the_published_parameter_count_is_met(
    name: str, channels: int, classes: int, count: int
) -> None:
    network = build_network(name, {"in_channels": channels, "classes": classes})
    assert parameter_count(network) == count


@torch.no_grad()
def test_logits_have_the_size_of_the_input(network: SegmentationNetwork) -> None:
    size = size_of(network)
    assert network(torch.randn(2, 2, *size)).shape == (2, 3, *size)


@torch.no_grad()
def test_logits_are_raw_scores(network: SegmentationNetwork) -> None:
    x = torch.randn(1, 2, *size_of(network))
    before = network(x)
    network.get_parameter("classifier.bias").add_(5.0)
    torch.testing.assert_close(network(x), before + 5.0)


@pytest.mark.parametrize("case", SMALL)
def test_the_global_seed_fixes_the_weights(case: str) -> None:
    name, arguments = SMALL[case]

    def weights(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return list(build_network(name, {"in_channels": 1, "classes": 2, **arguments}).parameters())

    assert all(torch.equal(a, b) for a, b in zip(weights(3), weights(3), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(weights(3), weights(4), strict=True))


@torch.no_grad()
def test_a_sample_is_not_changed_by_its_neighbours_in_the_batch(
    network: SegmentationNetwork,
) -> None:
    batch = torch.randn(3, 2, *size_of(network)) * torch.tensor([1.0, 5.0, 50.0]).reshape(
        3, *(1,) * (network.dimensions + 1)
    )
    alone = network(batch[:1])
    torch.testing.assert_close(network(batch)[:1], alone, rtol=1e-4, atol=1e-5)


def test_the_gradient_reaches_every_parameter(network: SegmentationNetwork) -> None:
    network(torch.randn(2, 2, *size_of(network))).square().sum().backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


def test_training_mode_takes_a_step_of_finite_gradient(network: SegmentationNetwork) -> None:
    network.train()
    network(torch.randn(2, 2, *size_of(network))).square().mean().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(g is not None and bool(g.isfinite().all()) for g in gradients)


@torch.no_grad()
def test_nothing_beyond_the_receptive_field_reaches_the_output(
    network: SegmentationNetwork,
) -> None:
    for axis, radius in enumerate(network.receptive_field):
        divisor = network.divisor[axis]
        cells = -(-(2 * radius + 2) // divisor) + 2
        size = [2 * d for d in network.divisor]
        size[axis] = cells * divisor
        x = torch.randn(1, 2, *size)
        before = network(x)
        # Every phase of the stride: voxels of one cell see different extents.
        for centre in range(size[axis] // 2, size[axis] // 2 + divisor):
            distance = (torch.arange(size[axis]) - centre).abs()
            shape = [1] * x.ndim
            shape[axis + 2] = -1
            far = x + 100.0 * (distance > radius).reshape(shape)
            near = x + 100.0 * (distance <= radius).reshape(shape)
            expected, after_far, after_near = (
                y.select(axis + 2, centre) for y in (before, network(far), network(near))
            )
            torch.testing.assert_close(after_far, expected, rtol=1e-5, atol=1e-6)
            assert not torch.allclose(after_near, expected, rtol=1e-2)


def test_the_receptive_field_is_not_a_wild_overestimate(network: SegmentationNetwork) -> None:
    for axis, radius in enumerate(network.receptive_field):
        divisor = network.divisor[axis]
        size = [2 * d for d in network.divisor]
        size[axis] = (-(-(2 * radius + 2) // divisor) + 2) * divisor
        x = torch.randn(1, 2, *size, requires_grad=True)
        centre = size[axis] // 2
        network(x).select(axis + 2, centre).square().sum().backward()
        assert x.grad is not None
        others = [a for a in range(x.ndim) if a != axis + 2]
        reached = x.grad.abs().sum(dim=others).nonzero().flatten()
        assert (reached - centre).abs().max() >= 0.5 * radius


@pytest.mark.parametrize("case", [case for case in SMALL if case != "dilated2d"])
def test_an_input_of_a_wrong_size_is_refused_with_the_multiple(case: str) -> None:
    network = small(case)
    size = list(size_of(network))
    size[-1] += 1
    with pytest.raises(ValueError, match=r"multiples of .*pad the input"):
        network(torch.zeros(1, 2, *size))


def test_an_input_of_wrong_channels_is_refused_with_the_expected_shape(
    network: SegmentationNetwork,
) -> None:
    with pytest.raises(ValueError, match=r"shape \[n, 2, "):
        network(torch.zeros(1, 1, *size_of(network)))


def test_the_classifier_is_the_last_layer(network: SegmentationNetwork) -> None:
    seen: list[torch.Tensor] = []
    network.classifier.register_forward_hook(lambda _m, inputs, _out: seen.append(inputs[0]))
    network(torch.randn(1, 2, *size_of(network)))
    assert network.classifier.out_channels == 3
    assert len(seen) == 1
