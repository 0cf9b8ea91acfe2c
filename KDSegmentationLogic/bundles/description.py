"""What a model bundle says about itself: everything that the engine and the GUI need.

Standard library only. ``Description`` is the block ``kdsegmentation`` of a bundle's
``configs/metadata.json``. Arrays are [z, y, x] in the network's orientation; spacings,
extents and spacing ranges are millimetres in (x, y, z) order, as SimpleITK gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Literal

from KDSegmentationLogic.bundles.paths import path_problem

FORMAT_VERSION = 1

NO_SUM = "0" * 64
"""The ``sha256`` of a file that is not written yet; saving puts the true one in."""

View = Literal["axial", "coronal", "sagittal"]


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _require_file(path: str, suffix: str, sha256: str) -> None:
    problem = path_problem(path)
    _require(problem is None, f"the path {path!r} {problem}")
    _require(path.endswith(suffix), f"the path {path!r} does not end in {suffix}")
    _require(
        len(sha256) == 64 and set(sha256) <= set("0123456789abcdef"),
        "sha256 must be 64 hexadecimal digits",
    )


@dataclass(frozen=True)
class Code:
    """One coded concept, e.g. ``Code("SCT", "5366008", "Hippocampus")``."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Terminology:
    """What a structure is, in codes of the master list that Slicer ships."""

    category: Code
    type: Code
    modifier: Code | None = None


@dataclass(frozen=True)
class Label:
    """One structure: its value in label maps, its name and colour (0..255 each)."""

    value: int
    name: str
    color: tuple[int, int, int]
    terminology: Terminology | None = None

    def __post_init__(self) -> None:
        _require(1 <= self.value <= 65535, "a label's value must be 1 to 65535 (0 is background)")
        _require(bool(self.name.strip()), "a label needs a name")
        _require(all(0 <= c <= 255 for c in self.color), "a colour has three values of 0 to 255")


@dataclass(frozen=True)
class Normalisation:
    """How a channel's intensities become the network's input.

    ``zscore``: minus mean, divided by standard deviation of this image (``nonzero``: of its
    non-zero voxels, zero stays zero). ``fixed``: clipped to ``clip``, then minus ``mean``,
    divided by ``std``, all from the training data (CT). ``none``: as it is.
    """

    method: Literal["zscore", "fixed", "none"]
    nonzero: bool = False
    clip: tuple[float, float] | None = None
    mean: float | None = None
    std: float | None = None

    def __post_init__(self) -> None:
        if self.method == "fixed":
            _require(self.mean is not None and self.std is not None, "fixed needs mean and std")
            _require(bool(self.std and self.std > 0), "std must be above zero")
        if self.clip:
            _require(self.clip[0] < self.clip[1], "clip needs a lower and a higher value")


@dataclass(frozen=True)
class Channel:
    """One input image that the model needs."""

    name: str
    modality: str
    normalisation: Normalisation


@dataclass(frozen=True)
class Grid:
    """The grid that the network sees.

    ``spacing``: mm (x, y, z); none: the image's own, times ``shrink``: for large pictures, which do
    not say how large their pixels are. ``orientation``: where the axes
    x, y, z point, in ITK's letters (LPS is the identity direction of ITK and DICOM);
    ignored for 2-D images. ``interpolation``: of images, on their way to that spacing; ``cubic``
    for networks that were trained on B-splines.
    """

    dimensions: Literal[2, 3]
    spacing: tuple[float, float, float] | None = None
    orientation: str = "LPS"
    interpolation: Literal["linear", "cubic"] = "linear"
    shrink: float = 1.0

    def __post_init__(self) -> None:
        _require(1 <= self.shrink <= 16, "a grid shrinks by 1 to 16")
        _require(self.shrink == 1 or self.spacing is None, "give either a spacing or shrink")
        _require(self.orientation in _ORIENTATIONS, f"no orientation is called {self.orientation}")
        _require(self.spacing is None or min(self.spacing) > 0, "a spacing must be above zero")

    def spacing_for(self, own: Sequence[float]) -> tuple[float, ...]:
        """Of the grid, for an image of that spacing (network orientation, x, y[, z])."""
        if self.spacing is not None:
            return self.spacing[: len(own)]
        return tuple(self.shrink * step for step in own)


_ORIENTATIONS = {
    "".join(choice)
    for axes in permutations(("LR", "AP", "IS"))
    for choice in ((a, b, c) for a in axes[0] for b in axes[1] for c in axes[2])
}


@dataclass(frozen=True)
class StoredFile:
    """A file of the bundle: its path inside the folder, with ``/``, and its checksum."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Footprint:
    """What an engine must know of a network to run its ONNX file without building the network.

    Per spatial axis ([z,] y, x): sizes of inputs are multiples of ``divisor``, one voxel of
    logits stands for ``stride`` of the input. ``layer_bytes``, ``logit_bytes``: of the tensors
    alive at a forward's peak and of its logits, divided by the input's voxels.
    """

    divisor: tuple[int, ...]
    stride: tuple[int, ...]
    layer_bytes: float
    logit_bytes: float

    def __post_init__(self) -> None:
        _require(len(self.divisor) == len(self.stride), "divisor and stride differ in length")
        pairs = zip(self.divisor, self.stride, strict=True)
        _require(
            all(s >= 1 and d >= s and d % s == 0 for d, s in pairs),
            "a divisor must be a multiple of its stride, which is 1 or more",
        )
        _require(min(self.layer_bytes, self.logit_bytes) > 0, "bytes must be above zero")


@dataclass(frozen=True)
class Reduced:
    """A network in reduced precision, and the check on real cases without which it is not run.

    ``file``: ONNX, as ``Member.onnx``. ``agreement``: per structure the mean Dice of its labels
    with those of float32 over ``cases`` cases of ``data`` that it was not calibrated on, at least
    ``bound`` each; ``least``: the lowest of a single case. ``seconds``, ``seconds_full``: medians
    of a case, image to labels, of both in turns.
    """

    precision: Literal["int8"]
    file: StoredFile
    bound: float
    agreement: dict[str, float]
    least: dict[str, float]
    data: str
    cases: int
    seconds: float
    seconds_full: float
    hardware: str

    def __post_init__(self) -> None:
        _require_file(self.file.path, ".onnx", self.file.sha256)
        _require(0 < self.bound <= 1, "the bound must be above 0 and at most 1")
        _require(bool(self.agreement) and self.cases >= 1, "a check needs structures and cases")
        _require(min(self.agreement.values()) >= self.bound, "the agreement is below the bound")


@dataclass(frozen=True)
class Member:
    """One network: how to build it, where its weights are, how it is run.

    ``patch``: voxels (z, y, x), for a 2-D network (y, x) of a slice; the size it was
    trained with and the window used where the whole image does not fit. ``whole``: it may
    see the whole image at once (batch normalisation: yes; instance normalisation sees other
    statistics than in training: no). ``views``: the slicings whose probabilities a 2-D
    network averages over a volume. ``temperature`` divides the logits. ``onnx``: the network as
    an ONNX file that ends at the resolution of its logits; with its ``footprint`` neither torch
    nor onnx is needed to run it.
    """

    architecture: str
    arguments: dict[str, Any]
    weights: str
    sha256: str
    patch: tuple[int, ...]
    whole: bool = True
    overlap: float = 0.5
    views: tuple[View, ...] = ()
    temperature: float = 1.0
    onnx: StoredFile | None = None
    footprint: Footprint | None = None
    reduced: Reduced | None = None

    def __post_init__(self) -> None:
        _require(len(self.patch) in (2, 3), "a patch has 2 or 3 sizes")
        _require(min(self.patch) >= 1, "a patch's sizes must be 1 or more")
        _require(0 <= self.overlap < 1, "the overlap must be at least 0 and below 1")
        _require(self.temperature > 0, "the temperature must be above zero")
        _require(len(self.patch) == 2 or not self.views, "only a 2-D network has views")
        _require(len(self.patch) == 3 or bool(self.views), "a 2-D network needs its views")
        _require(len(set(self.views)) == len(self.views), "a view stands twice")
        _require_file(self.weights, ".safetensors", self.sha256)
        if self.onnx:
            _require_file(self.onnx.path, ".onnx", self.onnx.sha256)
        if self.footprint:
            same = len(self.footprint.divisor) == len(self.patch)
            _require(same, "the footprint and the patch differ in their dimensions")

    @property
    def dimensions(self) -> int:
        return len(self.patch)

    @property
    def graphs(self) -> tuple[StoredFile, ...]:
        """Its ONNX files."""
        files = (self.onnx, self.reduced.file if self.reduced else None)
        return tuple(file for file in files if file)


@dataclass(frozen=True)
class FieldOfView:
    """What part of a body the network was trained on.

    ``whole``: any image. ``crop``: a box of ``extent_mm`` (x, y, z) round a structure; such a
    model is run round a point or inside a region, or on an image that is itself about such
    a crop.
    """

    kind: Literal["whole", "crop"]
    extent_mm: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.kind == "crop":
            _require(self.extent_mm is not None, "a crop needs its extent_mm")
        _require(self.extent_mm is None or min(self.extent_mm) > 0, "an extent must be above zero")


@dataclass(frozen=True)
class Expectation:
    """The input that the training data cover; outside of it the user is warned."""

    description: str
    spacing_range_mm: tuple[float, float] | None = None


@dataclass(frozen=True)
class Measurement:
    """What was measured, on what. ``dice`` and ``hd95_mm`` are means per structure."""

    data: str
    cases: int
    dice: dict[str, float]
    hd95_mm: dict[str, float] = field(default_factory=dict)
    seconds_per_case: float | None = None
    peak_memory_gib: float | None = None
    hardware: str | None = None


@dataclass(frozen=True)
class Description:
    """The whole block. ``relative`` names the ensemble of a student and vice versa."""

    format_version: int
    kind: Literal["student", "network", "ensemble"]
    title: str
    summary: str
    channels: tuple[Channel, ...]
    grid: Grid
    members: tuple[Member, ...]
    labels: tuple[Label, ...]
    field_of_view: FieldOfView
    expects: Expectation
    licence: str
    citation: str
    training_data: str
    relative: str | None = None
    measured: tuple[Measurement, ...] = ()

    def __post_init__(self) -> None:
        _require(bool(self.channels), "a model needs at least one channel")
        _require(bool(self.labels), "a model needs at least one label")
        _require(bool(self.members), "a model needs at least one member")
        _require(
            (self.kind == "ensemble") == (len(self.members) > 1),
            "an ensemble has several members, a student or network one",
        )
        for values in (
            [c.name for c in self.channels],
            [label.value for label in self.labels],
            [label.name for label in self.labels],
            [m.weights.casefold() for m in self.members],
            [file.path.casefold() for m in self.members for file in m.graphs],
        ):
            _require(len(set(values)) == len(values), f"{values} holds something twice")
        _require(
            self.grid.dimensions == 3 or all(m.dimensions == 2 for m in self.members),
            "a 3-D network cannot work on a 2-D grid",
        )
        _require(
            self.grid.dimensions == 3 or all(m.views == ("axial",) for m in self.members),
            "a 2-D grid has the view axial only",
        )

    @property
    def classes(self) -> int:
        """Channels of the networks' output: background and every label, in their order."""
        return len(self.labels) + 1
