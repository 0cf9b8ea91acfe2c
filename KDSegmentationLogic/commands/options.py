"""Arguments that several commands share, and what they mean.

Standard library only.
"""

from __future__ import annotations

import argparse
import math
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from KDSegmentationLogic.errors import UsageError

if TYPE_CHECKING:
    from KDSegmentationLogic.inference.pipeline import Settings
    from KDSegmentationLogic.inference.region import Region


def add_general(parser: ArgumentParser) -> None:
    """--json, --quiet and --debug; they may stand before and after the command's name."""
    group = parser.add_argument_group("output")
    for flag, meaning in (
        ("--json", "print the result as JSON on stdout"),
        ("--quiet", "no progress and no notices"),
        ("--debug", "show where in the program an error came from"),
    ):
        group.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=meaning)


def add_engine(parser: ArgumentParser) -> None:
    """How a model is run."""
    group = parser.add_argument_group("running")
    group.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="default auto: a GPU if there is one",
    )
    group.add_argument("--engine", default="auto", help="auto, or the name of an engine")
    group.add_argument("--threads", type=whole_number, metavar="N", help="default: all cores")
    group.add_argument(
        "--memory-limit",
        type=positive_number,
        metavar="GiB",
        help="of this computer's memory, not the GPU's; default: half of what is free",
    )
    group.add_argument(
        "--precision",
        choices=("full", "reduced"),
        default="full",
        help="reduced: 8-bit networks, on a CPU, of models that carry a check of them",
    )
    group.add_argument(
        "--compile",
        action="store_true",
        help="the engine torch compiles the network first: a minute, for many images",
    )


def add_regions(parser: ArgumentParser) -> None:
    """Where to segment; the whole image where nothing is said."""
    parser.add_argument(
        "--point",
        nargs=3,
        type=number,
        action="append",
        metavar=("R", "A", "S"),
        default=[],
        help="only the structure at this position (mm, as Slicer shows it); may be repeated",
    )
    parser.add_argument(
        "--roi",
        nargs=6,
        type=number,
        metavar=("R0", "A0", "S0", "R1", "A1", "S1"),
        help="only inside this box, given by two opposite corners (mm)",
    )


def add_overwrite(parser: ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")


def add_data(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="folder of the data sets; default $KDSEG_DATA"
    )


def settings_of(args: Namespace, **maps: bool) -> Settings:
    """The settings that the arguments of ``add_engine`` ask for."""
    from KDSegmentationLogic.inference.pipeline import Settings

    return Settings(
        args.device,
        args.engine,
        args.threads,
        args.memory_limit,
        precision=args.precision,
        compile=args.compile,
        **maps,
    )


def regions_of(args: Namespace) -> list[Region]:
    """The points, or the box, that were given; none for the whole image.

    Raises
    ------
    UsageError : points and a box.
    """
    from KDSegmentationLogic.inference.region import Box, Point

    if args.roi and args.point:
        raise UsageError("Both --point and --roi were given.", "Give one of them.")
    if args.roi:
        return [Box(tuple(args.roi[:3]), tuple(args.roi[3:]))]
    return [Point(tuple(point)) for point in args.point]


def data_folder(args: Namespace) -> Path | None:
    """The folder of ``--data`` or else ``KDSEG_DATA``; none where neither is given.

    Raises
    ------
    UsageError : there is no such folder.
    """
    given = args.data or os.environ.get("KDSEG_DATA")
    if not given:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"The data folder {folder} does not exist.",
            "Correct --data or the environment variable KDSEG_DATA.",
        )
    return folder


def required_data_folder(args: Namespace) -> Path:
    """As ``data_folder``, for commands that cannot do without."""
    folder = data_folder(args)
    if folder is None:
        raise UsageError(
            "It was not said where the data sets are.",
            "Give their folder with --data, or set the environment variable KDSEG_DATA.",
        )
    return folder


def check_output_folder(folder: Path) -> None:
    """Raise ``UsageError`` where a folder is to be and a file is."""
    for path in (folder, *folder.parents):
        if path.exists():
            if not path.is_dir():
                raise UsageError(
                    f"{path} is a file, and results are to go into a folder.",
                    "Give another name with -o.",
                )
            return


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Raise ``UsageError`` where results of earlier work would be lost."""
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(
            f"{existing[0]}{more} already exist{'' if more else 's'}.",
            "Give another output, or --overwrite to replace.",
        )


def number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def positive_number(text: str) -> float:
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return value


def whole_number(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
