"""What an engine must know of a network that it runs without building it.

Nothing here needs torch where it was found out before: a bundle may say it, and this machine
keeps it. Importing torch takes a second or two and 180 MB.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from KDSegmentationLogic.bundles.description import Footprint, Member
from KDSegmentationLogic.inference.engines.store import kept

VERSION = 3
"""Counts up when a network gives another graph than before, or other facts: what is kept on
disk is void then."""


@dataclass(frozen=True)
class Facts:
    """Of a network; per spatial axis [z,] y, x where there are several.

    stride : input voxels that one voxel of its logits stands for.
    features : channels that its heads read, where these are left to the caller: they are fewer
        than the classes, or there are two heads; else none.
    layer_bytes, logit_bytes : of the tensors alive at the peak of a forward, and of the logits;
        both divided by the input's voxels.
    """

    dimensions: int
    in_channels: int
    classes: int
    divisor: tuple[int, ...]
    stride: tuple[int, ...]
    layer_bytes: float
    logit_bytes: float
    features: int | None = None

    @property
    def footprint(self) -> Footprint:
        """What of it a bundle says of its member."""
        return Footprint(self.divisor, self.stride, self.layer_bytes, self.logit_bytes)


def facts_of_member(member: Member) -> Facts:
    """Of the network that a member describes; its weights are not read."""
    found = member.footprint
    if found is None:
        made_of = (member.architecture, str(member.arguments), str(VERSION))
        return _decoded(kept("facts", made_of, lambda: _computed(member)))
    return Facts(
        dimensions=member.dimensions,
        in_channels=int(member.arguments["in_channels"]),
        classes=int(member.arguments["classes"]),
        divisor=found.divisor,
        stride=found.stride,
        layer_bytes=found.layer_bytes,
        logit_bytes=found.logit_bytes,
    )


def _computed(member: Member) -> bytes:
    from KDSegmentationLogic.inference.engines.estimate import facts_of_description

    return json.dumps(asdict(facts_of_description(member))).encode()


def _decoded(content: bytes) -> Facts:
    found = json.loads(content)
    shapes = {name: tuple(found[name]) for name in ("divisor", "stride")}
    return Facts(**{**found, **shapes})
