"""A teacher that is asked about each batch as it is augmented, instead of stored soft targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from KDSegmentationLogic.distillation.merging import merged
from KDSegmentationLogic.distillation.reading import FeatureReader, layer_channels
from KDSegmentationLogic.networks.base import SegmentationNetwork


@dataclass(frozen=True)
class Taught:
    """What the teacher says of a batch: mean probabilities and standard deviation over the
    members, [n, k, ...], where they are asked for, and the features of one member's layers by
    name."""

    probabilities: Tensor | None
    deviation: Tensor | None
    features: Mapping[str, Tensor]


class OnlineTeacher:
    """An ensemble, frozen and in evaluation mode.

    Parameters
    ----------
    networks : the members. They are frozen for good.
    layers : what is read of one of them. features_of : its number.
    probabilities : whether they are asked for; else only the member is run that is read.
    deviation : whether it is asked for besides; on a CPU it takes longer than a member does.
    knows : the classes of each member, where they do not know all; see ``merged``.
    sees : the channels of an image that all of them take; empty: all.

    Raises
    ------
    ValueError : that member lacks a layer.
    """

    def __init__(
        self,
        networks: Sequence[SegmentationNetwork],
        layers: Sequence[str] = (),
        features_of: int = 0,
        probabilities: bool = True,
        deviation: bool = False,
        sees: Sequence[int] = (),
        knows: Sequence[Sequence[int]] = (),
    ) -> None:
        self._knows = knows
        self._sees = list(sees)
        self._read = features_of
        self._probabilities, self._deviation = probabilities, deviation
        self.networks = tuple(network.eval().requires_grad_(False) for network in networks)
        self.channels = layer_channels(self.networks[features_of], layers)
        self._reader = FeatureReader(self.networks[features_of], layers)

    def to(self, device: torch.device) -> OnlineTeacher:
        for network in self.networks:
            network.to(device)
        return self

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Taught:
        """``image``: [n, c, ...] with all channels, of a size that fits all members."""
        image = image[:, self._sees] if self._sees else image
        if not self._probabilities:
            self.networks[self._read](image)
            return Taught(None, None, dict(self._reader.features))
        each = [torch.softmax(network(image).float(), dim=1) for network in self.networks]
        if any(self._knows):
            return Taught(merged(each, self._knows), None, dict(self._reader.features))
        stacked = torch.stack(each)
        deviation = stacked.std(0, correction=0) if self._deviation else None
        return Taught(stacked.mean(0), deviation, dict(self._reader.features))
