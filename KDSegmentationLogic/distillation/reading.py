"""Reading what a network's layers put out, through forward hooks."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from KDSegmentationLogic.networks.base import SegmentationNetwork


class FeatureReader:
    """Keeps the outputs of named layers of the latest forward pass.

    Parameters
    ----------
    layers : names as in ``network.layers()``.

    Use it as a context, or call ``close`` once it is no longer needed::

        with FeatureReader(network, ["last"]) as reader:
            logits = network(image)
        reader.features["last"]  # [n, c, ...], with its gradient

    Raises
    ------
    ValueError : the network has no such layer.
    """

    def __init__(self, network: SegmentationNetwork, layers: Sequence[str]) -> None:
        known = check_layers(network, layers)
        self.features: dict[str, Tensor] = {}
        self._handles = [
            known[name].register_forward_hook(self._keeping(name)) for name in dict.fromkeys(layers)
        ]

    def _keeping(self, name: str) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self.features[name] = output

        return keep

    def close(self) -> None:
        """Take the hooks off; what was read stays."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> FeatureReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_layers(network: SegmentationNetwork, layers: Sequence[str]) -> dict[str, nn.Module]:
    """The network's layers; ValueError, with those that there are, where one is missing.

    A network of one's own that names no layers serves wherever none is read.
    """
    known = network.layers() if layers else {}
    for name in layers:
        if name not in known:
            raise ValueError(f"there is no layer {name}, only {', '.join(known)}")
    return known


@torch.no_grad()
def layer_channels(network: SegmentationNetwork, layers: Sequence[str]) -> dict[str, int]:
    """The channels of each layer, found with a forward pass of one small image of zeros.

    In evaluation mode, so that it leaves the network as it was and draws nothing.
    """
    if not layers:
        return {}
    parameter = next(network.parameters())
    # twice the divisor: a norm refuses a single value a channel in training, not here
    size = tuple(2 * d for d in network.divisor)
    was_training = network.training
    with FeatureReader(network, layers) as reader:
        network.eval()(parameter.new_zeros((1, network.in_channels, *size)))
    network.train(was_training)
    return {name: tensor.shape[1] for name, tensor in reader.features.items()}
