"""A tiny student and a tiny ensemble, written once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from KDSegmentationLogic.bundles.description import (
    FORMAT_VERSION,
    NO_SUM,
    Channel,
    Description,
    Expectation,
    FieldOfView,
    Grid,
    Label,
    Measurement,
    Member,
    Normalisation,
)
from KDSegmentationLogic.bundles.writing import save_bundle
from KDSegmentationLogic.networks.registry import build_network

SETTINGS: dict[str, Any] = {"in_channels": 1, "classes": 3, "dimensions": 3, "widths": [4, 8]}


def member(weights: str = "models/model.safetensors", **settings: Any) -> Member:
    patch = (8, 8, 8) if settings.get("dimensions", 3) == 3 else (8, 8)
    views = () if len(patch) == 3 else ("axial",)
    arguments = {**SETTINGS, **settings}
    return Member("student_unet", arguments, weights, NO_SUM, patch, views=views)


def description(*members: Member, **changes: Any) -> Description:
    members = members or (member(),)
    settings: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "kind": "student" if len(members) == 1 else "ensemble",
        "title": "Tiny hippocampus",
        "summary": "A network of no use but for tests.",
        "channels": (Channel("T1", "MR", Normalisation("zscore")),),
        "grid": Grid(3, (1.0, 1.0, 1.0)),
        "members": members,
        "labels": (
            Label(1, "anterior", (220, 40, 40)),
            Label(2, "posterior", (40, 40, 220)),
        ),
        "field_of_view": FieldOfView("whole"),
        "expects": Expectation("any image"),
        "licence": "Apache-2.0",
        "citation": "none",
        "training_data": "none",
        "measured": (Measurement("noise", 2, {"anterior": 0.5, "posterior": 0.25}),),
    }
    return Description(**{**settings, **changes})


def networks(described: Description) -> list[torch.nn.Module]:
    torch.manual_seed(0)
    built = [build_network(m.architecture, m.arguments) for m in described.members]
    for network in built:
        # else the untrained network gives one and the same label everywhere
        torch.nn.init.zeros_(network.classifier.bias)
    return list(built)


@pytest.fixture
def describe() -> Callable[..., Description]:
    """Makes a valid description of the given members, one 3-D network by default."""
    return description


@pytest.fixture
def describe_member() -> Callable[..., Member]:
    """Makes a member from its weights' path and arguments of its network."""
    return member


@pytest.fixture
def build() -> Callable[[Description], list[torch.nn.Module]]:
    """Builds a description's networks, always with the same weights."""
    return networks


@pytest.fixture(scope="session")
def _written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    student = description()
    save_bundle(folder / "tiny", student, networks(student))
    ensemble = description(
        member("models/first.safetensors"), member("models/second.safetensors", dimensions=2)
    )
    save_bundle(folder / "many", ensemble, networks(ensemble))
    return folder


@pytest.fixture
def student(_written: Path, tmp_path: Path) -> Path:
    """The folder of a valid bundle ``tiny`` of one 3-D network, to do anything with."""
    return Path(shutil.copytree(_written / "tiny", tmp_path / "source" / "tiny"))


@pytest.fixture
def ensemble(_written: Path, tmp_path: Path) -> Path:
    """The folder of a valid bundle ``many`` of a 3-D and a 2-D network."""
    return Path(shutil.copytree(_written / "many", tmp_path / "source" / "many"))


@pytest.fixture
def listing() -> Callable[[Path], list[tuple[str, bytes | None]]]:
    """Everything under a folder, with the files' content."""

    def everything(folder: Path) -> list[tuple[str, bytes | None]]:
        paths = sorted(folder.rglob("*"))
        return [(str(p), p.read_bytes() if p.is_file() else None) for p in paths]

    return everything
