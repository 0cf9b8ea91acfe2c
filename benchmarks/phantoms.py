"""Inputs of the benchmarks: CT-like volumes of many structures, and networks fitted to them.

A network with random weights would give noise, and one that has learnt nothing but background
the same everywhere: that two programs agree on either proves nothing. These are fitted for some
minutes to a phantom whose structures have an intensity each.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

AIR, BODY = -1000.0, 0.0
SMALL = ((64, 80, 80), (64, 96, 96), (80, 112, 112))  # voxels (z, y, x)
LARGE = (160, 256, 256)
VOXELS_A_CLASS = 2000
CROP = 48
CLIP, MEAN, STD = (-100.0, 1000.0), 400.0, 300.0


def make_volume(
    size: tuple[int, int, int], spacing: tuple[float, float, float], classes: int, path: Path
) -> float:
    """Write a volume (x, y, z; mm; int16, uncompressed) and return the body's share of it."""
    import SimpleITK as sitk

    labels = make_labels(size[::-1], classes)
    values = np.concatenate([[AIR, BODY], intensities(classes)]).astype(np.int16)
    array = values[labels]
    noise = np.random.default_rng(1)
    for plane in array:
        plane += noise.normal(0, 15, plane.shape).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return float((labels > 0).mean())


def make_labels(shape: tuple[int, ...], classes: int) -> np.ndarray:
    """[z, y, x]: 0 air, 1 body, 2.. ``classes`` - 1 structures, each an ellipsoid in the body."""
    random = np.random.default_rng(classes)
    z, y, x = np.ogrid[[slice(-1, 1, 1j * n) for n in shape]]
    labels = np.zeros(shape, np.uint8)
    labels[np.broadcast_to((x / 0.85) ** 2 + (y / 0.65) ** 2 < 1, shape)] = 1
    size = 0.55 / (classes - 1) ** (1 / 3)
    for k in range(2, classes + 1):
        cz, cy, cx = random.uniform((-0.8, -0.4, -0.55), (0.8, 0.4, 0.55))
        rz, ry, rx = size * random.uniform(0.6, 1.2, 3)
        labels[((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1] = k
    return labels


def intensities(classes: int) -> np.ndarray:
    """Of structures 2 .. ``classes``: apart from each other and from the body's."""
    return np.linspace(BODY, 900, classes)[1:]


def make_bundle(
    folder: Path,
    classes: int,
    spacing: tuple[float, float, float],
    patch: tuple[int, int, int],
    steps: int,
    architecture: str = "student_unet",
    members: int = 1,
    large: tuple[int, int, int] = LARGE,
) -> None:
    """Fit a network of ``classes`` classes (background: air and body) and save it as a bundle.

    Parameters
    ----------
    spacing : mm (x, y, z) that the network sees.
    patch : voxels (z, y, x) of its windows.
    members : the first one is fitted; each further one goes on from it with other noise.
    large : voxels (z, y, x) of the phantom that the classifier is fitted to.
    """
    import torch

    from KDSegmentationLogic.bundles import description as d
    from KDSegmentationLogic.bundles.writing import save_bundle
    from KDSegmentationLogic.networks.registry import build_network

    torch.manual_seed(0)
    arguments = {"in_channels": 1, "classes": classes}
    networks = [build_network(architecture, arguments)]
    fit(networks[0], classes, steps, large)
    for k in range(1, members):
        networks.append(copy.deepcopy(networks[0]))
        fit(networks[k], classes, max(1, steps // 10), large, 2 + k, 1e-3)
    structures = tuple(d.Label(k, f"structure {k}", (k, 255 - k, 100)) for k in range(1, classes))
    described = d.Description(
        format_version=d.FORMAT_VERSION,
        kind="ensemble" if members > 1 else "student",
        title="Ellipsoids",
        summary="Fitted to a phantom, for benchmarks.",
        channels=(d.Channel("CT", "CT", d.Normalisation("fixed", False, CLIP, MEAN, STD)),),
        grid=d.Grid(3, spacing, interpolation="cubic"),  # nnU-Net knows no other
        members=tuple(
            d.Member(
                architecture,
                arguments,
                f"models/model{k}.safetensors",
                d.NO_SUM,
                patch,
                # in a whole volume instance norm would see other statistics than in training
                whole=architecture != "plain_unet",
                overlap=0.5,
            )
            for k in range(members)
        ),
        labels=structures,
        field_of_view=d.FieldOfView("whole"),
        expects=d.Expectation("the phantom"),
        licence="Apache-2.0",
        citation="none",
        training_data="a phantom",
    )
    save_bundle(folder, described, [network.eval() for network in networks])


def fit(
    network: Any,
    classes: int,
    steps: int,
    large: tuple[int, int, int] = LARGE,
    seed: int = 2,
    rate: float = 1e-2,
) -> None:
    """A few steps on small phantoms and as many on crops of a large one, and a regression.

    Batch norm's statistics are those of the large phantom: small ones are nearly all edge for the
    deep layers. Crops, so that the network does without what lies far away: whole volume and
    windows then agree. The classifier is found by regression on the features, since a few steps
    do not tell twenty intensities apart.
    """
    import torch
    from torch.nn import functional

    random = np.random.default_rng(seed)
    small = [make_labels(shape, classes) for shape in SMALL]
    weights = torch.ones(classes)
    weights[0] = 0.5  # nine tenths of the voxels
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(2, steps))
    network.train()
    for step in range(steps):
        labels = small[step % len(small)]
        labels = np.flip(labels, tuple(axis for axis in range(3) if random.random() < 0.5))
        logits = network(_shown(labels, classes, random))
        loss = functional.cross_entropy(logits, _target(labels)[None], weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    labels = make_labels(large, classes)
    shown = _shown(labels, classes, random)
    _set_statistics(network, shown)
    _fit_classifier(network, shown, _target(labels), random)
    _tune(network, labels, classes, steps, random)
    _fit_classifier(network, shown, _target(labels), random)


def _tune(
    network: Any, labels: np.ndarray, classes: int, steps: int, random: np.random.Generator
) -> None:
    """On crops round body and structures alike, with batch norm's statistics left as they are."""
    import torch
    from torch.nn import functional

    places = [np.argwhere(labels == k) for k in np.unique(labels)[1:]]
    side, last = CROP, np.array(labels.shape) - CROP
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-4)
    network.eval()
    for _ in range(steps):
        centres = [random.choice(places[random.integers(len(places))]) for _ in range(4)]
        corners = [np.clip(c - random.integers(0, side, 3), 0, last) for c in centres]
        parts = np.stack([labels[tuple(slice(a, a + side) for a in c)] for c in corners])
        shown = torch.cat([_shown(part, classes, random) for part in parts])
        loss = functional.cross_entropy(network(shown), _target(parts))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _shown(labels: np.ndarray, classes: int, random: np.random.Generator) -> Any:
    """[1, 1, z, y, x]: what a network is shown of a phantom."""
    import torch

    image = np.concatenate([[AIR, BODY], intensities(classes)])[labels]
    image = np.clip(image + random.normal(0, 15, labels.shape), *CLIP)
    image = (image - MEAN) / STD
    return torch.from_numpy(image.astype(np.float32))[None, None]


def _target(labels: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.maximum(labels.astype(np.int64) - 1, 0))


def _set_statistics(network: Any, shown: Any) -> None:
    """Of batch norm: those of one volume."""
    import torch

    norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(shown)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum


def _fit_classifier(network: Any, shown: Any, target: Any, random: np.random.Generator) -> None:
    """Multinomial regression on the features of voxels: some of each class, as many of any.

    Weight decay keeps the logits within the half precision that nnU-Net adds them up in.
    """
    import torch
    from torch.nn import functional

    layer, caught = network.classifier, []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0][0]))
    with torch.no_grad():
        network.eval()(shown)
    hook.remove()
    every = shown.shape[2] // caught[0].shape[1]  # a stem of stride 2 halves the resolution
    found = target[::every, ::every, ::every].flatten().numpy()
    chosen = [np.flatnonzero(found == k) for k in np.unique(found)]
    places = np.concatenate([random.choice(p, min(len(p), VOXELS_A_CLASS)) for p in chosen])
    places = np.concatenate([places, random.integers(0, found.size, len(places))])
    features = caught[0].flatten(1)[:, torch.from_numpy(places)].T
    wanted = torch.from_numpy(found[places])
    mean, std = features.mean(0), features.std(0) + 1e-6
    scaled = (features - mean) / std
    weight = torch.zeros(layer.out_channels, scaled.shape[1], requires_grad=True)
    bias = torch.zeros(layer.out_channels, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=400, line_search_fn="strong_wolfe")

    def loss() -> Any:
        solver.zero_grad()
        found = functional.cross_entropy(functional.linear(scaled, weight, bias), wanted)
        found = found + 1e-4 * weight.square().sum()
        found.backward()
        return found

    solver.step(loss)
    with torch.no_grad():
        layer.weight.copy_((weight / std).view_as(layer.weight))
        layer.bias.copy_(bias - weight @ (mean / std))
