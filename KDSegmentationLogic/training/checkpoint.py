"""The state of a training as safetensors and JSON: nothing in it can run code.

One file, written atomically, so that a kill at any moment leaves the last whole state.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from KDSegmentationLogic.bundles.weights import save_tensors
from KDSegmentationLogic.errors import TrainingError

Tensors = dict[str, torch.Tensor]


def save_state(path: Path, groups: dict[str, Tensors], facts: dict[str, Any]) -> None:
    """Write named groups of tensors and plain facts."""
    flat = {
        f"{group}/{name}": tensor.detach().clone()
        for group, tensors in groups.items()
        for name, tensor in tensors.items()
    }
    save_tensors(path, flat, {"facts": json.dumps(facts)})


def load_state(path: Path) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """What ``save_state`` wrote.

    Raises
    ------
    TrainingError : the file is damaged.
    """
    groups: dict[str, Tensors] = {}
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            for key in file.keys():  # noqa: SIM118 (not a dictionary)
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
    except Exception as error:  # safetensors raises its own kinds for each damage
        raise TrainingError(
            f"The checkpoint {path} cannot be read ({error}).",
            "Delete it to start this training again.",
        ) from error
    return groups, facts


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> Tensors:
    """The optimiser's state, one entry a parameter and quantity."""
    return {
        f"{number}.{name}": value
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put back what ``optimiser_tensors`` took; the settings stay those of ``optimiser``."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )
