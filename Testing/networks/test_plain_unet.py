"""The U-Net with instance norm, whose statistics are those of all that it is shown."""

from __future__ import annotations

import pytest
import torch

from KDSegmentationLogic.networks.plain_unet import PlainUNet
from KDSegmentationLogic.networks.registry import build_network


@pytest.fixture
def network() -> PlainUNet:
    torch.manual_seed(7)
    built = build_network("plain_unet", {"in_channels": 2, "classes": 3, "widths": [4, 6, 8]})
    assert isinstance(built, PlainUNet)
    return built.eval()


@torch.no_grad()
def test_plain_unet_gives_logits_of_the_inputs_size(network: PlainUNet) -> None:
    assert network(torch.randn(2, 2, 8, 12, 16)).shape == (2, 3, 8, 12, 16)


def test_plain_unet_refuses_a_size_that_cannot_be_halved(network: PlainUNet) -> None:
    with pytest.raises(ValueError, match="multiples"):
        network(torch.randn(1, 2, 8, 12, 15))


@torch.no_grad()
def test_plain_unet_forgets_the_scale_of_its_input(network: PlainUNet) -> None:
    image = torch.randn(1, 2, 16, 16, 16)
    torch.testing.assert_close(network(50 * image), network(image), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_each_sample_has_its_own_statistics(network: PlainUNet) -> None:
    batch = torch.randn(3, 2, 8, 8, 8) * torch.tensor([1.0, 5.0, 50.0]).reshape(3, 1, 1, 1, 1)
    torch.testing.assert_close(network(batch)[:1], network(batch[:1]), rtol=1e-4, atol=1e-5)


def test_the_gradient_reaches_the_classifier_and_the_first_layer(network: PlainUNet) -> None:
    network(torch.randn(1, 2, 8, 8, 8)).square().sum().backward()
    first = network.encoder[0].get_parameter("0.weight").grad
    last = network.classifier.weight.grad
    assert first is not None
    assert last is not None
    assert bool(first.any())
    assert bool(last.any())


@torch.no_grad()
def test_its_named_layers_are_what_the_heads_read(network: PlainUNet) -> None:
    seen: list[torch.Tensor] = []
    network.layers()["last"].register_forward_hook(lambda _m, _i, out: seen.append(out))
    logits = network(torch.randn(1, 2, 8, 8, 8))
    torch.testing.assert_close(network.classifier(seen[0]), logits)
