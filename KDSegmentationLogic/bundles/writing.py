"""Writing bundles: from a description and its networks to a folder that loads again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING

from KDSegmentationLogic.bundles.bundle import (
    LICENCE,
    METADATA,
    README,
    WORKFLOW,
    Bundle,
    absolute_folder,
    check_bundle,
    load_bundle,
    refuse,
)
from KDSegmentationLogic.bundles.description import Description, Member, StoredFile
from KDSegmentationLogic.bundles.jsonfile import format_json, parse_json
from KDSegmentationLogic.bundles.landing import landing, refuse_existing
from KDSegmentationLogic.bundles.monai import Release, metadata_of, release_of, workflow_of
from KDSegmentationLogic.bundles.paths import path_problem
from KDSegmentationLogic.errors import BundleError
from KDSegmentationLogic.files import sha256_of, write_text

if TYPE_CHECKING:
    from torch import Tensor, nn


def save_bundle(
    folder: str | os.PathLike[str],
    description: Description,
    networks: Sequence[nn.Module],
    *,
    half: bool = False,
    licence_text: str = "",
    readme: str = "",
    release: Release | None = None,
    replace: bool = False,
) -> Bundle:
    """Write ``networks`` (in the order of ``description.members``) as the bundle ``folder``.

    The folder appears complete, or not at all.

    Parameters
    ----------
    description : its members' ``sha256`` may be ``NO_SUM``; the true ones are put in.
    half : weights in float16, half the size; they are read back as float32. Counters stay whole,
        and the statistics of batch normalisation float32.
    licence_text, readme : made from the description where empty.
    replace : an existing bundle of that name makes place once the new one is complete.

    Raises
    ------
    BundleError : the folder exists, its name cannot be used everywhere, or weights are not
        finite.
    """
    target = absolute_folder(folder)
    problem = path_problem(target.name)
    if problem:
        raise BundleError(f"The bundle's name {target.name!r} {problem}.", "Choose another name.")
    refuse_existing(target, replace)
    if len(networks) != len(description.members):
        raise ValueError(f"{len(networks)} networks for {len(description.members)} members")
    with _written(target) as content:
        members = tuple(
            changed(member, sha256=_write_weights(content, member, network, half))
            for member, network in zip(description.members, networks, strict=True)
        )
        described = changed(description, members=members)
        _write_texts(content, described, release or Release(), licence_text, readme)
    return load_bundle(target, verify=False)


def update_bundle(
    bundle: Bundle,
    description: Description,
    onnx: Mapping[str, Path] | None = None,
    target: Path | None = None,
    release: Release | None = None,
) -> Bundle:
    """The same bundle with another description, e.g. with measurements, and with ONNX files.

    Parameters
    ----------
    description : of the same members with the same weights.
    onnx : for each new path of ``member.graphs`` in it, the file to copy there; its ``sha256``
        may be ``NO_SUM``.
    target : another folder for it, the bundle stays as it is; what was there makes place.
    release : as the bundle says where it is not given.

    Raises
    ------
    BundleError : the bundle changed since it was loaded, or cannot be written.
    """
    sums = {path: sha256_of(file) for path, file in (onnx or {}).items()}

    def summed(file: StoredFile) -> StoredFile:
        return changed(file, sha256=sums.get(file.path, file.sha256))

    members = tuple(
        changed(
            m,
            onnx=m.onnx and summed(m.onnx),
            reduced=m.reduced and changed(m.reduced, file=summed(m.reduced.file)),
        )
        for m in description.members
    )
    described = changed(description, members=members)
    folder = target or bundle.folder
    with _written(absolute_folder(folder)) as content:
        release = release or _release(bundle)
        same = bundle.readme == _readme(bundle.name, bundle.description)
        shutil.copytree(bundle.folder, content, copy_function=shutil.copyfile, dirs_exist_ok=True)
        for path, file in (onnx or {}).items():
            shutil.copyfile(file, content / path)
        readme = "" if same else bundle.readme
        _write_texts(content, described, release, bundle.licence_text, readme)
    return load_bundle(folder, verify=False)


@contextlib.contextmanager
def _written(target: Path) -> Iterator[Path]:
    """A landing whose content must load, and whose errors are the user's to understand."""
    try:
        with landing(target) as content:
            yield content
            check_bundle(content, target.name, str(target), verify=True)
    except OSError as error:
        raise BundleError(
            f"The bundle {target} cannot be written ({error}).",
            "Check the folder's permissions and the space left.",
        ) from error


def _release(bundle: Bundle) -> Release:
    try:
        return release_of(parse_json((bundle.folder / METADATA).read_bytes()))
    except ValueError as error:
        refuse(str(bundle.folder), f"{METADATA}: {error}")


def _write_texts(
    content: Path, description: Description, release: Release, licence_text: str, readme: str
) -> None:
    metadata = metadata_of(content.name, description, release)
    write_text(content / METADATA, format_json(metadata))
    write_text(content / WORKFLOW, format_json(workflow_of(description)))
    write_text(content / README, readme or _readme(content.name, description))
    write_text(content / LICENCE, licence_text or description.licence + "\n")


def _write_weights(content: Path, member: Member, network: nn.Module, half: bool) -> str:
    """Write one network's weights; their SHA-256."""
    from KDSegmentationLogic.bundles.weights import save_tensors

    path = content / member.weights
    # Small, but a variance may be too great for float16, or so small that it loses its digits.
    exact = ("running_mean", "running_var")
    tensors = {
        name: _stored(tensor, half and not name.endswith(exact), f"{member.weights}: {name}")
        for name, tensor in network.state_dict().items()
    }
    save_tensors(path, tensors, {"format": "pt"})
    return sha256_of(path)


def _stored(tensor: Tensor, half: bool, name: str) -> Tensor:
    import torch

    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float16 if half else torch.float32)
        if not torch.isfinite(tensor).all():
            raise BundleError(
                f"The weights {name} are not finite{' in float16' if half else ''}.",
                "Train again, or save them in float32.",
            )
    # A copy: safetensors refuses tensors that share memory, and wants them contiguous.
    return tensor.clone(memory_format=torch.contiguous_format)


def _readme(name: str, description: Description) -> str:
    lines = [f"# {description.title}", "", description.summary, ""]
    lines += [f"Kind: {description.kind}. Licence: {description.licence}.", ""]
    lines += ["## Input", "", description.expects.description, ""]
    lines += [f"- {channel.name} ({channel.modality})" for channel in description.channels]
    lines += ["", "## Labels", ""]
    lines += [f"- {label.value}: {label.name}" for label in description.labels]
    lines += ["", "## Training data", "", description.training_data, ""]
    for found in description.measured:
        lines += [f"## Measured on {found.data} ({found.cases} cases)", ""]
        lines += [f"- {name}: mean Dice {dice:.3f}" for name, dice in found.dice.items()] + [""]
    lines += ["## Use", "", "```", f"kdseg segment IMAGE -m {name} -o LABELS", "```", ""]
    lines += ["MONAI's own runner, from this folder, with KDSegmentation installed:", "", "```"]
    lines += [
        "python -m monai.bundle run --config_file configs/inference.json"
        " --input_file IMAGE --output_file LABELS",
        "```",
        "",
        "## Citation",
        "",
        description.citation,
    ]
    return "\n".join(lines) + "\n"
