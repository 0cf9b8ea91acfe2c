"""Folds and lists of cases in which the cases of one patient stay together.

Chance comes from SHA-256 of the seed and the patient's name, so a patient's place depends
neither on the platform nor on the order in which a folder is listed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from KDSegmentationLogic.errors import DatasetError


def folds_by_group(
    groups: Mapping[str, str], count: int, seed: int = 0
) -> tuple[tuple[str, ...], ...]:
    """Part cases into ``count`` folds; each case is in one, patients are whole.

    The numbers of cases of two folds differ by no more than the largest patient's.

    Parameters
    ----------
    groups : case to patient.

    Raises
    ------
    DatasetError : fewer patients than folds.
    """
    members = _members(groups)
    if len(members) < count:
        raise DatasetError(
            f"{count} folds cannot be made of {len(members)} patient(s).", "Ask for fewer folds."
        )
    folds: list[list[str]] = [[] for _ in range(count)]
    # the large ones first, or a late one would unbalance the folds
    for group in sorted(_drawn(members, seed), key=lambda name: -len(members[name])):
        min(folds, key=len).extend(members[group])
    return tuple(tuple(sorted(fold)) for fold in folds)


def split_by_group(
    groups: Mapping[str, str], shares: Mapping[str, float], rest: str, seed: int = 0
) -> dict[str, tuple[str, ...]]:
    """Part cases into named lists of about the given shares, and ``rest`` with the others.

    Every list gets at least one patient; its share is missed by no more than the largest
    patient's cases.

    Raises
    ------
    DatasetError : fewer patients than lists.
    ValueError : shares that are not above zero, or leave no rest.
    """
    if not all(share > 0 for share in shares.values()) or sum(shares.values()) >= 1:
        raise ValueError("shares must be above zero and leave a rest")
    members = _members(groups)
    if len(members) <= len(shares):
        names = ", ".join((*shares, rest))
        raise DatasetError(
            f"The lists {names} cannot be made of {len(members)} patient(s).",
            "Add cases, or give the lists in splits.json.",
        )
    order = _drawn(members, seed)
    lists: dict[str, tuple[str, ...]] = {}
    for number, (name, share) in enumerate(shares.items()):
        wanted, taken = share * len(groups), [order.pop(0)]
        still_needed = len(shares) - number  # a patient for each later list and the rest
        while len(order) > still_needed:
            count = sum(len(members[group]) for group in taken)
            if count + len(members[order[0]]) / 2 > wanted:
                break
            taken.append(order.pop(0))
        lists[name] = tuple(sorted(case for group in taken for case in members[group]))
    return {**lists, rest: tuple(sorted(case for group in order for case in members[group]))}


def _members(groups: Mapping[str, str]) -> dict[str, list[str]]:
    """Patient to cases, both sorted."""
    members: dict[str, list[str]] = {}
    for case in sorted(groups):
        members.setdefault(groups[case], []).append(case)
    return dict(sorted(members.items()))


def _drawn(members: Mapping[str, list[str]], seed: int) -> list[str]:
    """The patients in an order by chance."""
    return sorted(members, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
