"""Set-up in words: what is missing here, what it is for, and how it gets in.

Standard library only: this runs before anything was installed.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from KDSegmentationLogic.dependencies import missing
from KDSegmentationLogic.scene.view.text import listed
from KDSegmentationLogic.scene.view.text import tr as _

TORCH_REQUIREMENT = ">=2.4"
"""For Slicer's PyTorch extension, which picks the build that fits the GPU."""


@dataclass(frozen=True)
class Need:
    """One package: what to import, what to install, whether segmenting needs it."""

    module: str
    requirement: str
    required: bool = True

    @property
    def package(self) -> str:
        return self.requirement.split(">")[0]


NEEDS = (
    Need("torch", "torch" + TORCH_REQUIREMENT),
    Need("safetensors", "safetensors>=0.4.3"),
    Need("psutil", "psutil>=5.9"),
    Need("scipy", "scipy>=1.11"),
    Need("numpy", "numpy>=1.26"),
    Need("SimpleITK", "SimpleITK>=2.4"),
    Need("highdicom", "highdicom>=0.25", required=False),
    Need("openvino", "openvino>=2025.0", required=False),
)


def purpose(need: Need) -> str:
    """What a package is for."""
    purposes = {
        "torch": _("runs the networks"),
        "safetensors": _("reads the models' weights"),
        "psutil": _("keeps the memory within bounds"),
        "scipy": _("separates and measures structures"),
        "numpy": _("holds the images"),
        "SimpleITK": _("resamples the images"),
        "highdicom": _("saves as DICOM SEG"),
        "openvino": _("runs the networks faster on Intel CPUs"),
    }
    return purposes[need.module]


def lacking(required_only: bool = True) -> list[Need]:
    """What is not installed, in the order of ``NEEDS``."""
    absent = set(missing(*(need.module for need in NEEDS)))
    return [n for n in NEEDS if n.module in absent and (n.required or not required_only)]


def by_pip(needs: Sequence[Need]) -> list[str]:
    """Requirements that pip may install: all but torch, whose build depends on the GPU."""
    return [need.requirement for need in needs if need.module != "torch"]


def check_text(absent: Collection[Need]) -> str:
    """The self-check in words; ``absent`` as ``lacking(required_only=False)`` gives it."""
    required = [need for need in absent if need.required]
    optional = [need for need in absent if not need.required]
    if not required:
        lines = [_("Everything that segmenting needs is installed.")]
    else:
        lines = [_("Segmenting needs what is not installed yet:")]
        lines += [f"– {need.package}: {purpose(need)}" for need in required]
    if optional:
        named = listed([f"{need.package} ({purpose(need)})" for need in optional])
        lines.append(_("Not installed and only for some: {packages}.").format(packages=named))
    return "\n".join(lines)


def question(requirements: Sequence[str]) -> str:
    """What is asked before anything is installed."""
    return _(
        "KD Segmentation will download and install into this Slicer: {packages}. Nothing is sent."
        " Go on?"
    ).format(packages=listed(requirements))


def offline_text() -> str:
    """How to install on a computer without a network."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    packages = " ".join(need.requirement for need in NEEDS if need.required)
    return _(
        "Without a network: on a computer that has one, with Python {version} on the same kind of"
        " system ({system}), run\n\n"
        "    pip download --dest wheels {packages}\n\n"
        "Bring the folder wheels here, and in Slicer's Python console run\n\n"
        '    slicer.util.pip_install("--no-index --find-links /path/to/wheels {names}")\n\n'
        "Models need no network: two come with the module, others are imported from a folder or"
        " a .zip file."
    ).format(
        version=version,
        system=f"{platform.system()} {platform.machine()}",
        packages=packages,
        names=" ".join(need.package for need in NEEDS if need.required),
    )


def likely_device() -> tuple[str, str]:
    """(device, reason) that "auto" will most likely come to, without importing torch.

    Importing torch takes seconds and would do so in Slicer's own process; the worker says
    afterwards what it really used.
    """
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps", _("Apple GPU found")
    driver = shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").is_file()
    if not driver:
        return "cpu", _("no GPU found")
    if _torch_version().endswith("+cpu"):
        return "cpu", _("this torch was built without GPU support")
    return "cuda", _("NVIDIA GPU found")


def _torch_version() -> str:
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""
