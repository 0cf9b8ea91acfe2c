"""What the INPUT arguments name: cases, each of one image a channel.

- a file is a case; several channels are ``a.nii.gz,b.nii.gz`` in the model's channel order;
- a folder with DICOM files is a case;
- a folder with other images is many cases. Where all of them end in ``_0000``, ``_0001`` and
  so on, and every case has each of the model's channels, which is nnU-Net's layout, the number
  is that of the channel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from KDSegmentationLogic.bundles.description import Channel
from KDSegmentationLogic.errors import ImageError, UsageError
from KDSegmentationLogic.imaging.dicom_file import is_dicom
from KDSegmentationLogic.imaging.reading import ending_of, read_channels, read_image
from KDSegmentationLogic.progress import Monitor

_NUMBERED = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class Case:
    """One thing to segment: its name, its images in channel order, a series in a DICOM folder."""

    name: str
    files: tuple[Path, ...]
    series: str | None = None

    def read(self, monitor: Monitor | None = None) -> list[sitk.Image]:
        """The images, on the grid of the first. Raises ``ImageError``."""
        if len(self.files) == 1:
            return [read_image(self.files[0], self.series, monitor)]
        return read_channels(self.files, monitor)


def find_cases(
    inputs: Sequence[str],
    channels: Sequence[Channel],
    named: Sequence[str] = (),
    series: str | None = None,
) -> tuple[list[Case], bool]:
    """The cases that INPUT and ``--channel NAME=FILE`` name; nothing is read yet.

    Returns
    -------
    The cases, and whether there may be many (several inputs, or a folder of images).

    Raises
    ------
    UsageError : nothing or contradicting things were given, or a wrong number of channels.
    ImageError : a file or folder is not there.
    """
    if bool(inputs) == bool(named):
        raise UsageError(
            "Inputs and --channel were both given." if named else "No input was given.",
            "Give files or folders, or else every channel as --channel NAME=FILE.",
        )
    if named:
        return [_case(_by_channel(named, channels), channels)], False
    cases: list[Case] = []
    many = len(inputs) > 1
    for text in inputs:
        files = split_channels(text)
        if len(files) == 1 and files[0].is_dir() and not _holds_dicom(files[0]):
            many = True
            cases += _cases_of_folder(files[0], channels)
        else:
            cases.append(_case(files, channels))
    if series is not None:
        if len(cases) != 1 or not cases[0].files[0].is_dir():
            raise UsageError(
                "--series chooses a series of one DICOM folder.", "Give that folder alone."
            )
        cases = [Case(cases[0].name, cases[0].files, series)]
    return cases, many


def split_channels(text: str) -> list[Path]:
    """``a.nii.gz,b.nii.gz`` as paths. Raises ``ImageError`` where one is not there."""
    whole = Path(text).expanduser()
    paths = [whole] if whole.exists() else [Path(p.strip()).expanduser() for p in text.split(",")]
    for path in paths:
        if not path.exists():
            raise ImageError(f"{path} does not exist.", "Check the path.")
    return paths


def stem_of(path: Path) -> str:
    """A file's name without the ending of an image; a folder's name."""
    name = path.resolve().name if path.is_dir() else path.name
    return name[: -len(ending_of(path))] if ending_of(path) and not path.is_dir() else name


def images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name; hidden ones aside."""
    return sorted(
        path
        for path in folder.iterdir()
        if ending_of(path) and path.is_file() and not path.name.startswith(".")
    )


def _case(files: Sequence[Path], channels: Sequence[Channel]) -> Case:
    if len(files) != len(channels):
        wanted = ", ".join(f"{c.name} ({c.modality})" for c in channels)
        raise UsageError(
            f"{' and '.join(map(str, files))}: {_counted(len(files))} for a model of"
            f" {_counted(len(channels))} ({wanted}).",
            "Give one file a channel, in this order, with commas between: a.nii.gz,b.nii.gz",
        )
    return Case(stem_of(files[0]), tuple(files))


def _counted(number: int) -> str:
    return f"{number} channel{'' if number == 1 else 's'}"


def _by_channel(named: Sequence[str], channels: Sequence[Channel]) -> list[Path]:
    """The files of ``NAME=FILE`` in the model's order."""
    names = [channel.name for channel in channels]
    given: dict[str, str] = {}
    for text in named:
        name, equals, file = text.partition("=")
        if not equals or name not in names or name in given:
            what = "stands twice" if name in given else "names no channel of the model"
            raise UsageError(
                f"--channel {text} {what if equals else 'is not NAME=FILE'}.",
                f"Give each of these once: {', '.join(f'--channel {n}=FILE' for n in names)}.",
            )
        given[name] = file
    missing = [name for name in names if name not in given]
    if missing:
        raise UsageError(
            f"The channel {missing[0]} was not given.",
            f"Add --channel {missing[0]}=FILE.",
        )
    paths = [Path(given[name]).expanduser() for name in names]
    for path in paths:
        if not path.exists():
            raise ImageError(f"{path} does not exist.", "Check the path.")
    return paths


def _holds_dicom(folder: Path) -> bool:
    """Whether a folder is one DICOM input; one that holds no images at all is taken for one.

    Endings are asked first: of a thousand files, one would else be opened after the other.
    """
    if not images_in(folder):
        return True
    others = (p for p in folder.iterdir() if p.is_file() and not ending_of(p))
    return any(is_dicom(path) for path in others)


def _cases_of_folder(folder: Path, channels: Sequence[Channel]) -> list[Case]:
    files = images_in(folder)
    numbered = [_NUMBERED.fullmatch(stem_of(file)) for file in files]
    if not all(numbered):
        return [_case([file], channels) for file in files]
    groups: dict[str, dict[int, Path]] = {}
    for file, match in zip(files, numbered, strict=True):
        assert match is not None
        group = groups.setdefault(match[1], {})
        if int(match[2]) in group:
            raise UsageError(
                f"{file} and {group[int(match[2])].name} are one channel of one case.",
                "Keep one of them.",
            )
        group[int(match[2])] = file
    expected = list(range(len(channels)))
    for name, group in groups.items():
        if sorted(group) != expected:
            if len(channels) == 1:  # a number as nnU-Net's, which is but that of the case
                return [_case([file], channels) for file in files]
            found = ", ".join(f"_{number:04}" for number in sorted(group))
            raise UsageError(
                f"The case {name} in {folder} has the channels {found}, and the model takes"
                f" {_counted(len(channels))}, numbered from _0000.",
                "Complete the case, or take it out of the folder.",
            )
    return [Case(name, tuple(g[n] for n in expected)) for name, g in groups.items()]
