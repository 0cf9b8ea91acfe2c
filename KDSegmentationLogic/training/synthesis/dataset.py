"""Many cases as a nnU-Net v2 raw data set, which can be gone on with, and grown.

A case depends on the label maps, the recipe and its number alone. Heads are parted before cases
are made: what was made from one label map is in one list only.
"""

from __future__ import annotations

import concurrent.futures
import json
import math
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import scipy
import SimpleITK as sitk
import torch
import torchio

from KDSegmentationLogic.errors import DatasetError
from KDSegmentationLogic.files import sha256_of, write_if_new
from KDSegmentationLogic.imaging.writing import write_image
from KDSegmentationLogic.progress import Monitor
from KDSegmentationLogic.training.synthesis.anatomy import find_label_maps, label_names
from KDSegmentationLogic.training.synthesis.case import Recipe, read_map, synthesise

ENDING = ".nii.gz"
RECORD = "synthesis.json"
VERSION = 2
"""Counts up with each change after which the same seed gives other cases."""

_GIB = 2**30
_FIXED_BYTES = 0.4 * _GIB  # Python with torch and TorchIO
# at the peak of four contrasts with lesions; measured with 60 to 200 voxels a side, 0.5 to 4 mm
_BYTES_PER_MAP_VOXEL, _BYTES_PER_IMAGE_VOXEL = 64, 140
_SPARE = 0.5 * _GIB  # of the disk


@dataclass(frozen=True)
class Plan:
    """What is to be made.

    cycle : the label maps in the order in which cases take them, again and again.
    lists : each map's list, train, val or test.
    """

    folder: Path
    recipe: Recipe
    cases: int
    cycle: tuple[Path, ...]
    lists: dict[Path, str]

    def source(self, number: int) -> Path:
        return self.cycle[number % len(self.cycle)]

    def files(self, number: int) -> tuple[tuple[Path, ...], Path]:
        """Where a case's images and its labels go. Test cases lie apart, as nnU-Net has it."""
        end = "Ts" if self.lists[self.source(number)] == "test" else "Tr"
        name = case_name(number)
        images = tuple(
            self.folder / f"images{end}" / f"{name}_{channel:04}{ENDING}"
            for channel in range(len(self.recipe.contrasts))
        )
        return images, self.folder / f"labels{end}" / f"{name}{ENDING}"

    def is_done(self, number: int) -> bool:
        images, labels = self.files(number)
        return labels.is_file() and all(path.is_file() for path in images)


def case_name(number: int) -> str:
    return f"case_{number:04}"


def synthesise_dataset(
    maps: Path, folder: Path, recipe: Recipe, cases: int, jobs: int, monitor: Monitor
) -> Plan:
    """Make a data set, or what is missing of it.

    Parameters
    ----------
    maps : folder of label maps of whole heads, FreeSurfer's codes.
    cases : how many the data set has in the end. jobs : processes beside each other.

    Raises
    ------
    DatasetError : too few or unusable label maps; the folder holds a data set made in another
        way; disk or memory do not suffice. All of this is said before anything is made.
    ImageError : a file cannot be read or written.
    """
    plan = make_plan(maps, Path(folder), recipe, cases)
    record, libraries = _record(plan), _libraries()
    earlier = _check_record(plan, record)
    todo = [number for number in range(cases) if not plan.is_done(number)]
    if todo:
        _check_room(plan, len(todo), jobs, monitor)
        _check_maps(plan, todo, monitor)
        _tell_changes(earlier, libraries, monitor)
        used = earlier if libraries in earlier else [*earlier, libraries]
        write_if_new(plan.folder / RECORD, _json({**record, "libraries": used}))
        for count, number in enumerate(_made(plan, todo, min(jobs, len(todo)), monitor), 1):
            monitor.report(count / len(todo), f"{case_name(number)} of {plan.source(number).name}")
    write_if_new(plan.folder / "splits.json", _json(_splits(plan)))
    write_if_new(plan.folder / "dataset.json", _json(_description(plan)))
    return plan


def make_plan(maps: Path, folder: Path, recipe: Recipe, cases: int) -> Plan:
    """Part the label maps, about 4 to 1 to 1, drawn by the seed.

    Raises
    ------
    DatasetError : fewer than three.
    """
    sources = find_label_maps(maps)
    if len(sources) < 3:
        raise DatasetError(
            f"{maps} holds {len(sources)} label maps, too few to keep heads apart.",
            "Give at least 3: one each to train, to validate and to test.",
        )
    draws = np.random.default_rng([recipe.seed, len(sources)])
    order = [sources[i] for i in draws.permutation(len(sources))]
    held = max(1, round(len(order) / 6))
    parts = {
        "train": order[2 * held :],
        "val": order[:held],
        "test": order[held : 2 * held],
    }
    # evenly mixed, so that a few cases already fill each list
    places = [
        ((index + 0.5) / len(part), path)
        for part in parts.values()
        for index, path in enumerate(part)
    ]
    cycle = tuple(path for _, path in sorted(places))
    lists = {path: name for name, part in parts.items() for path in part}
    return Plan(folder, recipe, cases, cycle, lists)


def make_case(
    source: Path, recipe: Recipe, number: int, heads: int, files: tuple[tuple[Path, ...], Path]
) -> int:
    """Make and write one case, the labels last; returns its number."""
    case = synthesise(source, recipe, number, heads)
    for image, path in zip(case.images, files[0], strict=True):
        write_image(image, path)
    write_image(case.labels, files[1])
    return number


def _made(plan: Plan, numbers: Sequence[int], jobs: int, monitor: Monitor) -> Iterator[int]:
    """The numbers of the cases as they are made."""
    heads = len(plan.cycle)
    calls = ((plan.source(n), plan.recipe, n, heads, plan.files(n)) for n in numbers)
    if jobs == 1:
        for call in calls:
            monitor.check()
            yield make_case(*call)
        return
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, context, _one_thread)
    try:
        pending = {pool.submit(make_case, *call) for call in calls}
        while pending:
            done, pending = concurrent.futures.wait(
                pending, timeout=1.0, return_when=concurrent.futures.FIRST_COMPLETED
            )
            monitor.check()
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise DatasetError(
            "A process that made cases ended without an answer, killed or out of memory.",
            "Run the command again with fewer --jobs; what is made is kept.",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _check_room(plan: Plan, cases: int, jobs: int, monitor: Monitor) -> None:
    """Say what it takes, and refuse what does not fit."""
    maps = [_size(path) for path in plan.cycle]
    images = [volume / plan.recipe.spacing**3 for volume, _ in maps]
    disk = cases * sum(images) / len(images) * 2 * (len(plan.recipe.contrasts) + 0.1)
    largest = max(
        _BYTES_PER_MAP_VOXEL * count + _BYTES_PER_IMAGE_VOXEL * voxels
        for (_, count), voxels in zip(maps, images, strict=True)
    )
    memory = min(jobs, cases) * (_FIXED_BYTES + largest)
    place = next(p for p in (plan.folder.resolve(), *plan.folder.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free
    if disk + _SPARE > free:
        raise DatasetError(
            f"{cases} cases take up to {disk / _GIB:.1f} GiB, and {place} has"
            f" {free / _GIB:.1f} GiB left.",
            "Ask for fewer cases or a coarser spacing, or give a folder on another disk.",
        )
    available = psutil.virtual_memory().available
    if memory > available:
        raise DatasetError(
            f"{jobs} processes take about {memory / _GIB:.1f} GiB of memory, and"
            f" {available / _GIB:.1f} GiB are free.",
            "Ask for fewer --jobs, or close other programs.",
        )
    monitor.notice(
        f"{cases} cases to make: up to {disk / _GIB:.1f} GiB on disk, about"
        f" {memory / _GIB:.1f} GiB of memory."
    )


def _check_maps(plan: Plan, numbers: Sequence[int], monitor: Monitor) -> None:
    """Refuse a map that would end the run at its first case, half a second a map of 200^3."""
    for source in sorted({plan.source(number) for number in numbers}):
        monitor.check()
        read_map(source, plan.recipe)


def _size(path: Path) -> tuple[float, int]:
    """Volume of a label map in mm^3, and its voxels; from the header alone."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise DatasetError(
            f"{path} cannot be read as an image.", "Remove it, or copy it again."
        ) from None
    voxels = math.prod(reader.GetSize())
    return voxels * math.prod(reader.GetSpacing()), voxels


def _record(plan: Plan) -> dict[str, object]:
    return {
        "version": VERSION,
        "recipe": {**asdict(plan.recipe), "contrasts": list(plan.recipe.contrasts)},
        "sources": {path.name: sha256_of(path) for path in sorted(plan.cycle)},
    }


def _libraries() -> dict[str, str]:
    """The versions of what draws and computes: with others a case may come out otherwise."""
    return {one.__name__: str(one.__version__) for one in (np, scipy, sitk, torch, torchio)}


def _tell_changes(
    earlier: Sequence[dict[str, str]], libraries: dict[str, str], monitor: Monitor
) -> None:
    """Say where cases that are there were made with other versions than these."""
    changed = {
        f"{name} {version} (now {libraries.get(name)})"
        for used in earlier
        for name, version in used.items()
        if version != libraries.get(name)
    }
    if changed:
        monitor.notice(
            f"Cases here were made with {', '.join(sorted(changed))}: the same seed may no longer"
            " make them again."
        )


def _check_record(plan: Plan, record: dict[str, object]) -> list[dict[str, str]]:
    """Refuse a folder whose cases would not be these; returns the libraries they were made with."""
    path = plan.folder / RECORD
    if not path.is_file():
        if plan.folder.is_dir() and any(plan.folder.iterdir()):
            raise DatasetError(
                f"{plan.folder} is not empty and was not made by this command.",
                "Give a new folder.",
            )
        return []
    try:
        found = json.loads(path.read_text("utf-8"))
        differing = [key for key, value in record.items() if found.get(key) != value]
        libraries = [dict(used) for used in found.get("libraries", [])]
    except (ValueError, TypeError, AttributeError):
        raise DatasetError(f"{path} is damaged.", "Give a new folder.") from None
    if differing:
        raise DatasetError(
            f"{plan.folder} holds cases that were made in another way: {', '.join(differing)} in"
            f" {RECORD} differ.",
            "Give the same arguments as then, or a new folder.",
        )
    return libraries


def _splits(plan: Plan) -> dict[str, object]:
    numbers = range(plan.cases)
    lists = {
        part: [case_name(n) for n in numbers if plan.lists[plan.source(n)] == part]
        for part in ("train", "val", "test")
    }
    return {**lists, "groups": {case_name(n): plan.source(n).name for n in numbers}}


def _description(plan: Plan) -> dict[str, object]:
    recipe = plan.recipe
    training = [n for n in range(plan.cases) if plan.lists[plan.source(n)] != "test"]
    labels = {"background": 0}
    labels |= {name: value for value, name in enumerate(label_names(recipe.lesions), 1)}
    return {
        "name": "Synthetic MR of the head",
        "description": "MR images of the head made from label maps, no patient's image.",
        "channel_names": {str(n): name for n, name in enumerate(recipe.contrasts)},
        "labels": labels,
        "numTraining": len(training),
        "file_ending": ENDING,
    }


def _json(content: dict[str, object]) -> str:
    return json.dumps(content, indent=1) + "\n"
