"""What is particular to single architectures."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from KDSegmentationLogic.networks.dilated import DilatedNetwork2D
from KDSegmentationLogic.networks.student import StudentUNet


@torch.no_grad()
def test_the_dilated_network_equals_its_valid_convolutions_out_of_reach_of_the_padding() -> None:
    torch.manual_seed(1)
    network = DilatedNetwork2D(1, 3, width=4, head=(6, 8)).eval()
    x = torch.randn(1, 1, 140, 150)
    r = network.radius
    valid = x
    for layer in network.context:
        if isinstance(layer, torch.nn.Conv2d):
            valid = functional.conv2d(valid, layer.weight, layer.bias, dilation=layer.dilation)
            valid = valid.clamp_min(0)
    valid = network.classifier(network.head(valid))
    assert valid.shape == (1, 3, 140 - 2 * r, 150 - 2 * r)
    torch.testing.assert_close(network(x)[..., r:-r, r:-r], valid, rtol=1e-4, atol=1e-5)


def test_the_dilated_network_sees_131_pixels() -> None:
    assert 2 * DilatedNetwork2D(1, 2).radius + 1 == 131


@torch.no_grad()
@pytest.mark.parametrize("stem_stride", [1, 2, (1, 2, 2)])
def test_the_student_moves_its_output_with_the_input(
    stem_stride: int | tuple[int, int, int],
) -> None:
    torch.manual_seed(2)
    network = StudentUNet(1, 2, widths=(4, 6), convs_per_level=1, stem_stride=stem_stride).eval()
    halo = [r + d for r, d in zip(network.receptive_field, network.divisor, strict=True)]
    size = [-(-2 * h // d) * d + d for h, d in zip(halo, network.divisor, strict=True)]
    x = torch.randn(1, 1, *size)
    moved = torch.roll(x, shifts=network.divisor, dims=(2, 3, 4))
    expected = torch.roll(network(x), shifts=network.divisor, dims=(2, 3, 4))
    margins = [-m for h in reversed(halo) for m in (h, h)]
    found, expected = (functional.pad(y, margins) for y in (network(moved), expected))
    assert expected.numel() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_students_low_logits_are_on_the_grid_of_the_stem() -> None:
    network = StudentUNet(1, 3, widths=(4, 6), stem_stride=(1, 2, 2)).eval()
    x = torch.randn(1, 1, 4, 8, 12)
    low = network.forward_low(x)
    assert low.shape == (1, 3, 4, 4, 6)
    enlarged = functional.interpolate(low, (4, 8, 12), mode="trilinear", align_corners=False)
    torch.testing.assert_close(network(x), enlarged)


@torch.no_grad()
def test_a_student_without_stride_has_the_same_logits_low_and_full() -> None:
    network = StudentUNet(1, 2, dimensions=2, widths=(4, 6), stem_stride=1).eval()
    x = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(network.forward_low(x), network(x))


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_traced_student_takes_other_sizes() -> None:
    network = StudentUNet(1, 2, widths=(4, 6, 8)).eval()
    traced = torch.jit.trace(network, torch.randn(1, 1, 8, 8, 8))
    x = torch.randn(1, 1, 16, 8, 24)
    torch.testing.assert_close(traced(x), network(x))


def test_the_default_student_is_small_enough_for_a_cpu() -> None:
    with torch.device("meta"):
        network = StudentUNet(1, 4)
        x = torch.empty(1, 1, 64, 64, 64)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.eval().forward_low(x)
    assert counter.get_total_flops() <= 30_000 * x.numel()
