"""Which cases are of one patient, for public sets that do not say so in a file.

A set is known by its folder's name. One entry here, or "groups" in ``splits.json``, keeps the
cases of a patient in one list and one fold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


def _side(case: str) -> str:
    """Ids 2k - 1 and 2k look like the two sides of one person (equal intensities and grids)."""
    number = re.search(r"(\d+)$", case)
    return f"person{(int(number[1]) + 1) // 2:03}" if number else case


def _before_image(case: str) -> str:
    return case.partition("-IM-")[0]


RULES: dict[str, Callable[[str], str]] = {
    r"Task04_Hippocampus|Dataset\d+_Hippocampus": _side,
    r"Dataset\d+_SunnybrookLV": _before_image,
}


def known_groups(dataset: str, cases: Iterable[str]) -> dict[str, str]:
    """Case to patient where the data set's name is known; empty where not."""
    for pattern, rule in RULES.items():
        if re.fullmatch(pattern, dataset):
            return {case: rule(case) for case in cases}
    return {}
