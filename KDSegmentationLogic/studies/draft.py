"""A study file for a new data set: written for a person to read, change and run."""

from __future__ import annotations

import colorsys
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from KDSegmentationLogic.bundles.decoding import encode
from KDSegmentationLogic.training.fingerprint import Fingerprint
from KDSegmentationLogic.training.layouts.base import SPLITS, UNLABELLED, Dataset
from KDSegmentationLogic.training.plan import Plan
from KDSegmentationLogic.training.sizing import PlannedNetwork

STEPS = 1000
LOSSES = {"dice": {"dice": 1.0}, "crossentropy": {"cross_entropy": 1.0}}
_STUDENT = {"mse_probabilities": 1.0, "cross_entropy": 0.1}
_BASELINE = {"dice": 1.0, "cross_entropy": 1.0}

_COLOURS = (
    (241, 172, 75),
    (90, 160, 214),
    (120, 186, 110),
    (211, 102, 120),
    (166, 130, 203),
    (150, 111, 81),
    (232, 146, 190),
    (128, 174, 128),
)


def draft_study(dataset: Dataset, fingerprint: Fingerprint, plan: Plan) -> str:
    """The YAML text of a study: six diverse teachers, a student, and the same network without.

    ``definition.read_study`` accepts it as it is.
    """
    parts = [
        _head(dataset, fingerprint),
        f"dataset: {_plain(dataset.name)}\n",
        _channels(fingerprint, plan),
        _grid(fingerprint, plan),
        _labels(dataset, fingerprint),
        _field_of_view(plan),
        _bundle(dataset, fingerprint, plan),
        _teachers(plan),
        _students(plan),
    ]
    return "\n".join(parts)


def bundle_name(dataset: Dataset, plan: Plan) -> str:
    """A name for the bundles: that of the data set without its number, and the modality."""
    stem = re.sub(r"^(?:Task|Dataset)\d+_", "", dataset.name)
    stem = re.sub(r"[^A-Za-z0-9]+", "", stem) or "Model"
    modality = plan.channels[0].modality
    return stem if modality == "OT" or stem.endswith(modality) else stem + modality


def _head(dataset: Dataset, fingerprint: Fingerprint) -> str:
    counts = {name: len(dataset.splits.get(name, ())) for name in (*SPLITS, UNLABELLED)}
    lists = f"{counts['train']} to train, {counts['val']} to validate, {counts['test']} to test"
    if counts[UNLABELLED]:
        lists += f", {counts[UNLABELLED]} without labels"
    lines = [
        f"{dataset.name}: six diverse teachers, one small student, and the same network taught by",
        "labels alone.",
        "",
        f"A draft from the figures of {fingerprint.measured} training cases. Read it through: above"
        " all what is",
        "said under bundle, the steps (a GPU affords ten times as many), and the widths.",
        "",
        f"Cases: {lists}.",
    ]
    if dataset.drawn:
        lines += [
            f"The data set has no list for {' and '.join(dataset.drawn)}: it is drawn by patient,"
            " always the same way.",
            "Write splits.json into its folder to choose otherwise.",
        ]
    lines += [
        f"Sizes (x, y, z): median {_times(fingerprint.median_size())}.",
        "",
        "  kdseg study run THIS.yaml --data FOLDER-OF-THE-DATA-SET'S-FOLDER -o RUN",
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _channels(fingerprint: Fingerprint, plan: Plan) -> str:
    lines = ["channels:"]
    for channel in plan.channels:
        inside = fingerprint.intensities[channel.name]
        lines += [
            f"  # inside structures {inside.low:.5g} to {inside.high:.5g} (percentiles 0.5 and"
            f" 99.5), mean {inside.mean:.5g}",
            f"  - name: {_plain(channel.name)}",
            f"    modality: {channel.modality}",
            f"    normalisation: {_flow(encode(channel.normalisation, omit_defaults=True))}",
        ]
    return "\n".join(lines) + "\n"


def _grid(fingerprint: Fingerprint, plan: Plan) -> str:
    grid = plan.grid
    lines = ["grid:", f"  dimensions: {grid.dimensions}"]
    if grid.spacing:
        low, high = (
            f(axis) for f in (min, max) for axis in [[s for c in fingerprint.spacings for s in c]]
        )
        lines += [
            f"  # mm (x, y, z); the images' median is {_times(fingerprint.median_spacing())}, from"
            f" {low:.4g} to {high:.4g}",
            f"  spacing: {_flow(grid.spacing)}",
        ]
    else:
        lines.append("  # no spacing: every image keeps its own")
    if grid.dimensions == 3:
        lines.append(f"  orientation: {grid.orientation}")
    return "\n".join(lines) + "\n"


def _labels(dataset: Dataset, fingerprint: Fingerprint) -> str:
    unit = "ml" if fingerprint.physical and fingerprint.dimensions == 3 else "pixels"
    if fingerprint.physical and fingerprint.dimensions == 2:
        unit = "thousandths of mm2"
    lines = ["# the names stand in results; colours are red, green, blue", "labels:"]
    for number, (value, name) in enumerate(dataset.labels.items()):
        structure = fingerprint.structures[name]
        lines += [
            f"  # in {structure.cases} of {fingerprint.measured} cases,"
            f" median {structure.volume:.4g} {unit}",
            f"  - value: {value}",
            f"    name: {_plain(name)}",
            f"    color: {_flow(_colour(number))}",
        ]
    return "\n".join(lines) + "\n"


def _field_of_view(plan: Plan) -> str:
    view = plan.field_of_view
    if view.kind == "whole":
        return "field_of_view: {kind: whole}\n"
    return (
        "# the images are crops: such a model is run round a point; mm (x, y, z)\n"
        f"field_of_view:\n  kind: crop\n  extent_mm: {_flow(view.extent_mm)}\n"
    )


def _bundle(dataset: Dataset, fingerprint: Fingerprint, plan: Plan) -> str:
    about = dataset.about
    structures = ", ".join(dataset.labels.values())
    modalities = ", ".join(channel.name for channel in plan.channels)
    kind = "pictures" if fingerprint.dimensions == 2 else "images"
    counts = {name: len(dataset.splits.get(name, ())) for name in SPLITS}
    text = {
        "name": bundle_name(dataset, plan),
        "title": f"{structures} in {modalities}",
        "summary": f"{structures} in {modalities} {kind}"
        + (f" ({about.description})." if about.description else "."),
        "expects": {"description": f"{modalities}, {kind} like those of {dataset.name}"},
        "licence": about.licence or "not stated by the data set",
        "citation": f"Training data: {about.reference or dataset.name}.",
        "training_data": f"{about.title or dataset.name}: {counts['train']} cases to train,"
        f" {counts['val']} to validate, {counts['test']} to test.",
    }
    lines = ["# what users of the models read", "bundle:"]
    for key, value in text.items():
        if key == "expects":
            lines += ["  expects:", f"    description: {_plain(value['description'])}"]  # type: ignore[index]
            if plan.spacing_range_mm:
                lines.append(f"    spacing_range_mm: {_flow(plan.spacing_range_mm)}")
        else:
            lines.append(f"  {key}: {_plain(str(value))}")
    return "\n".join(lines) + "\n"


def _teachers(plan: Plan) -> str:
    lines = ["teachers:"]
    seed = 10
    for network in plan.teachers:
        for loss, losses in LOSSES.items():
            bias = loss == "crossentropy"
            lines += _arm(f"{network.name}-{loss}", network, seed, losses, plan.mirror, bias)
            seed += 1
    return "\n".join(lines) + "\n"


def _students(plan: Plan) -> str:
    lines = ["# the baseline differs from the student in its losses alone", "students:"]
    lines += _arm("student", plan.student, 40, _STUDENT, plan.mirror)
    lines += _arm("baseline", plan.student, 40, _BASELINE, plan.mirror)
    return "\n".join(lines) + "\n"


def _arm(
    name: str,
    network: PlannedNetwork,
    seed: int,
    losses: dict[str, float],
    mirror: Sequence[int],
    prior_bias: bool = False,
) -> Iterator[str]:
    yield (
        f"  # {network.parameters:,} parameters; a training step keeps about"
        f" {network.memory_gib:.2g} GiB"
    )
    yield f"  - name: {name}"
    yield f"    architecture: {network.architecture}"
    yield f"    arguments: {_flow(network.arguments)}"
    yield f"    patch: {_flow(network.patch)}"
    if network.views:
        yield f"    views: {_flow(network.views)}"
    yield f"    seed: {seed}"
    yield "    schedule:"
    yield f"      losses: {_flow(losses)}"
    yield f"      steps: {STEPS}"
    yield f"      batch: {network.batch}"
    yield "      learning_rate: 0.003"
    if prior_bias:
        yield "      prior_bias: true  # small structures are lost to the background otherwise"
    if mirror:
        yield f"      mirror: {_flow(mirror)}  # left and right; no label is of one side"
    yield f"      validate_every: {STEPS // 10}"


def _colour(number: int) -> tuple[int, int, int]:
    """Distinct colours: a few chosen ones, then hues as far apart as they come."""
    if number < len(_COLOURS):
        return _COLOURS[number]
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.55, 0.85)
    return round(255 * red), round(255 * green), round(255 * blue)


def _flow(value: Any) -> str:
    """A value on one line, as YAML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _plain(value) if isinstance(value, str) else json.dumps(value)


def _plain(text: str) -> str:
    """A text, in quotes unless it is words that YAML cannot take for anything else."""
    words = re.fullmatch(r"[A-Za-z][\w ()-]*\w", text, re.ASCII)
    reserved = text.lower() in {"null", "true", "false", "yes", "no", "on", "off"}
    return text if words and not reserved else json.dumps(text, ensure_ascii=False)


def _times(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
