"""Tiny bundles that really segment the tiny phantom, made in a moment, for any layer's tests.

Their networks tell intensities apart: about 100 is the first structure, about 200 the second,
about 0 is background. On the phantom (of 1 mm) they thus give exactly its labels.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from torch import nn

from KDSegmentationLogic.bundles.bundle import Bundle
from KDSegmentationLogic.bundles.description import (
    FORMAT_VERSION,
    NO_SUM,
    Channel,
    Code,
    Description,
    Expectation,
    FieldOfView,
    Grid,
    Label,
    Member,
    Normalisation,
    Terminology,
    View,
)
from KDSegmentationLogic.bundles.writing import save_bundle
from KDSegmentationLogic.networks.base import SegmentationNetwork
from KDSegmentationLogic.networks.registry import build_network

Folder = str | os.PathLike[str]

LABELS = (
    Label(
        1,
        "anterior",
        (220, 40, 40),
        Terminology(
            Code("SCT", "123037004", "Anatomical Structure"),
            Code("SCT", "5366008", "Hippocampus"),
        ),
    ),
    Label(2, "posterior", (40, 40, 220)),
)
CROP_MM = (24.0, 24.0, 24.0)


def tiny_student(folder: Folder, **changes: Any) -> Bundle:
    """One 3-D network for whole volumes, which it sees at 1 mm.

    ``changes`` replace fields of its ``Description``, here and in the functions below.
    """
    return _saved(folder, [_member("models/model.safetensors", 3)], {"kind": "student", **changes})


def tiny_ensemble(folder: Folder, **changes: Any) -> Bundle:
    """A 3-D network, a 2-D one on axial slices and a 2-D one on all three views.

    Each is less certain than the one before it, so that they deviate from each other.
    """
    members = [
        _member("models/volume.safetensors", 3),
        _member("models/axial.safetensors", 2, ("axial",), temperature=2.0),
        _member("models/views.safetensors", 2, ("axial", "coronal", "sagittal"), temperature=4.0),
    ]
    return _saved(folder, members, {"kind": "ensemble", **changes})


def tiny_crop_student(folder: Folder, **changes: Any) -> Bundle:
    """The student, said to be trained on crops of ``CROP_MM`` round a structure."""
    return tiny_student(folder, field_of_view=FieldOfView("crop", CROP_MM), **changes)


def tiny_picture_student(folder: Folder, **changes: Any) -> Bundle:
    """One 2-D network for pictures of any spacing."""
    member = _member("models/model.safetensors", 2, ("axial",))
    return _saved(folder, [member], {"kind": "student", "grid": Grid(2, None), **changes})


def phantom(
    size: Sequence[int] = (24, 20, 16),
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    origin: Sequence[float] | None = None,
    direction: Sequence[float] | None = None,
) -> tuple[sitk.Image, sitk.Image]:
    """An int16 image with a structure of two parts, and its true labels (uint8).

    Parameters
    ----------
    size, spacing : voxels and mm (x, y[, z]).
    origin, direction : LPS mm and row by row; ITK's default where None.
    """
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.5
    labels = np.where(inside, np.where(axes[0] < 0, 1, 2), 0).T.astype(np.uint8)
    noise = np.random.default_rng(0).integers(-5, 6, labels.shape)
    images = []
    for array in ((100 * labels.astype(np.int16) + noise).astype(np.int16), labels):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing([float(s) for s in spacing])
        if origin is not None:
            image.SetOrigin([float(o) for o in origin])
        if direction is not None:
            image.SetDirection([float(d) for d in direction])
        images.append(image)
    return images[0], images[1]


def tell_intensities_apart(network: SegmentationNetwork) -> None:
    """Set the weights of a ``student_unet`` so that class k wins at intensities about 2k - 2.

    That is after normalisation. One channel carries the input, shifted to stay above zero,
    through the first level; all else is zero, so each voxel is judged by its own intensity.
    """
    norms = []
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
                norms.append(module)
            elif isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
                module.weight.zero_()
                if module.kernel_size[0] == 3:
                    kernel = module.weight[0, 0].view(-1)
                    kernel[len(kernel) // 2] = 1.0
        norms[0].bias[0] = 3.0
        classes = torch.arange(network.classes, dtype=torch.float32)
        network.classifier.weight.flatten(1)[:, 0] = 4 * classes
        assert network.classifier.bias is not None
        network.classifier.bias.copy_(-4 * classes * (classes + 1))


def _member(
    weights: str, dimensions: int, views: tuple[View, ...] = (), temperature: float = 1.0
) -> Member:
    arguments = {
        "in_channels": 1,
        "classes": 3,
        "dimensions": dimensions,
        "widths": [4, 8],
        "stem_stride": 1,  # each voxel for itself: on the network's own spacing all are right
    }
    patch = (16,) * dimensions
    return Member(
        "student_unet", arguments, weights, NO_SUM, patch, views=views, temperature=temperature
    )


def _saved(folder: Folder, members: list[Member], changes: dict[str, Any]) -> Bundle:
    settings: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "title": "Tiny phantom",
        "summary": "Tells the intensities of a test phantom apart.",
        "channels": (
            Channel("CT", "CT", Normalisation("fixed", clip=(-500.0, 500.0), mean=100.0, std=50.0)),
        ),
        "grid": Grid(3, (1.0, 1.0, 1.0)),
        "members": tuple(members),
        "labels": LABELS,
        "field_of_view": FieldOfView("whole"),
        "expects": Expectation("the test phantom"),
        "licence": "Apache-2.0",
        "citation": "none",
        "training_data": "none",
    }
    description = Description(**{**settings, **changes})
    networks = []
    for member in description.members:
        network = build_network(member.architecture, member.arguments)
        tell_intensities_apart(network)
        networks.append(network)
    return save_bundle(folder, description, networks)
