"""The two files that make a bundle one of MONAI's: metadata.json and inference.json.

Standard library only. Written after MONAI's bundle specification (docs, "MONAI Bundle
Specification", metadata.json and inference config).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from KDSegmentationLogic.bundles.bundle import BLOCK
from KDSegmentationLogic.bundles.decoding import encode
from KDSegmentationLogic.bundles.description import Description

_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
# The oldest MONAI that the project is tested with; told where none is installed.
_OLDEST_MONAI = "1.5.0"


@dataclass(frozen=True)
class Release:
    """Who publishes the bundle, as which version of it."""

    version: str = "1.0.0"
    changes: str = "first release"
    authors: str = "the authors named in the README"
    copyright: str = "see LICENSE"


def metadata_of(name: str, description: Description, release: Release) -> dict[str, Any]:
    """The content of configs/metadata.json, our block included."""
    return {
        "schema": _SCHEMA,
        "version": release.version,
        "changelog": {release.version: release.changes},
        "monai_version": _version("monai", _OLDEST_MONAI),
        "pytorch_version": _version("torch", "2.4.0"),
        "numpy_version": _version("numpy", "1.26.0"),
        "required_packages_version": {
            "kdsegmentation": _version("kdsegmentation", "0.1.0"),
            "safetensors": _version("safetensors", "0.4.3"),
            "SimpleITK": _version("SimpleITK", "2.4.0"),
        },
        "supported_apps": {},
        "name": name,
        "task": description.title,
        "description": description.summary,
        "authors": release.authors,
        "copyright": release.copyright,
        "data_source": description.training_data,
        "data_type": "any file that SimpleITK reads",
        "image_classes": ", ".join(f"{c.name} ({c.modality})" for c in description.channels),
        "label_classes": ", ".join(f"{e.value}: {e.name}" for e in description.labels),
        "pred_classes": "probabilities of background and every label, in their order",
        "eval_metrics": {
            f"mean Dice of {structure}, {found.data}": dice
            for found in description.measured
            for structure, dice in found.dice.items()
        },
        "intended_use": "Research only, not for clinical use.",
        "references": [description.citation],
        "network_data_format": _data_format(description),
        BLOCK: encode(description),
    }


def release_of(metadata: dict[str, Any]) -> Release:
    """The release that a configs/metadata.json tells; ValueError where it contradicts MONAI's."""
    version = str(metadata.get("version", Release.version))
    changelog = metadata.get("changelog", {})
    if not isinstance(changelog, dict):
        raise ValueError("the key changelog is not an object")
    changes = changelog.get(version, Release.changes)
    authors, owner = metadata.get("authors", ""), metadata.get("copyright", "")
    return Release(version, str(changes), str(authors), str(owner))


def workflow_of(description: Description) -> dict[str, Any]:
    """The content of configs/inference.json: ``python -m monai.bundle run`` segments an image.

    ``input_file``: several channels with commas between; ``point``: R, A, S in mm or null.
    ``evaluator`` is our own, since preprocessing must be the one that training used.
    ``network_def`` and ``inferer`` are for MONAI's tools that run a network themselves: the
    first member and its window; ``evaluator`` uses all members.
    """
    first = description.members[0]
    return {
        "bundle_root": ".",
        "dataset_dir": ".",
        "input_file": "$@dataset_dir + '/input.nii.gz'",
        "output_file": "output.nii.gz",
        "point": None,
        "device": "auto",
        "bundle": _target("bundles.bundle.load_bundle", folder="@bundle_root"),
        "networks": [
            _target(
                "bundles.weights.load_network",
                bundle="@bundle",
                member=f"$@bundle.description.members[{index}]",
            )
            for index in range(len(description.members))
        ],
        "network_def": "@networks#0",
        "inferer": {
            "_target_": "monai.inferers.SlidingWindowInferer",
            "roi_size": list(first.patch),
            "overlap": first.overlap,
            "mode": "gaussian",
        },
        "dataset": _target("imaging.reading.read_channels", paths="$@input_file.split(',')"),
        "region": _target(
            "inference.region.Point", _disabled_="$@point is None", ras="$@point and tuple(@point)"
        ),
        "evaluator": _target(
            "inference.pipeline.Predictor",
            bundle="@bundle",
            settings=_target("inference.pipeline.Settings", device="@device"),
        ),
        "run": [
            _target(
                "imaging.writing.write_image",
                image="$@evaluator.segment(@dataset, @region).labels",
                path="@output_file",
            )
        ],
    }


def _target(function: str, **arguments: Any) -> dict[str, Any]:
    """A call of one of our functions, as MONAI's configuration writes it."""
    return {"_target_": f"KDSegmentationLogic.{function}", **arguments}


def _data_format(description: Description) -> dict[str, Any]:
    """Input and output of the first member; spatial axes are [z,] y, x."""
    patch = list(description.members[0].patch)
    names = ["background", *(label.name for label in description.labels)]
    common = {"spatial_shape": patch, "dtype": "float32", "is_patch_data": True}
    return {
        "inputs": {
            "image": {
                "type": "image",
                "format": "magnitude",
                "modality": ", ".join(channel.modality for channel in description.channels),
                "num_channels": len(description.channels),
                "value_range": [],
                "channel_def": {str(i): c.name for i, c in enumerate(description.channels)},
                **common,
            }
        },
        "outputs": {
            "pred": {
                "type": "image",
                "format": "segmentation",
                "num_channels": description.classes,
                "value_range": [],
                "channel_def": {str(i): name for i, name in enumerate(names)},
                **common,
            }
        },
    }


def _version(package: str, otherwise: str) -> str:
    from importlib import metadata as installed  # imports much, for writing only

    try:
        return installed.version(package).split("+")[0]
    except installed.PackageNotFoundError:
        return otherwise
