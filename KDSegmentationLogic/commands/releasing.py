"""``kdseg study release``: the models of a run that are given out."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from KDSegmentationLogic.commands.console import Console
from KDSegmentationLogic.commands.options import add_general, add_overwrite, check_output_folder
from KDSegmentationLogic.errors import UsageError


def add_release(actions: Any) -> None:
    """Add the action to those of ``kdseg study``."""
    parser: ArgumentParser = actions.add_parser(
        "release",
        help="give out models of a study's run under names of their own",
        description="Copy models of a run into a folder, under names of their own, each naming"
        " the one to compare it with. With 'ensemble=uniform student=small' the study's bundles"
        " <name>-uniform and the best run of the arm small, by validation, become"
        " <name>-ensemble and <name>-student.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the run")
    parser.add_argument(
        "models",
        nargs="+",
        type=_pair,
        metavar="NAME=MODEL",
        help="the new name's last part, and what the study calls it: an ensemble, a run or an arm",
    )
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FOLDER", help="of the models"
    )
    parser.add_argument(
        "--model-version", default="1.0.0", metavar="VERSION", help="default: %(default)s"
    )
    parser.add_argument(
        "--changes", default="first release", metavar="TEXT", help="what is new in it"
    )
    add_overwrite(parser)
    add_general(parser)
    parser.set_defaults(run=release)


def release(args: Namespace) -> int:
    """Copy the models and say what they are called."""
    console = Console.of(args)
    check_output_folder(args.output)
    chosen = dict(args.models)
    if len(chosen) < len(args.models):
        raise UsageError("Two models are to have one name.", "Give each a name of its own.")
    from KDSegmentationLogic.bundles.monai import Release
    from KDSegmentationLogic.studies.artefacts import RunFolder
    from KDSegmentationLogic.studies.definition import read_study
    from KDSegmentationLogic.studies.releasing import release_bundles

    folder = RunFolder(args.folder.resolve(), read_study(args.folder / "study.yaml"))
    version = Release(version=args.model_version, changes=args.changes)
    written = release_bundles(folder, chosen, args.output, version, args.overwrite)
    for bundle in written:
        unmeasured = "" if bundle.description.measured else ", not measured yet"
        console.say(f"{bundle.folder} is written{unmeasured}.")
    console.result({"models": [str(bundle.folder) for bundle in written]})
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, equals, model = text.partition("=")
    if not (name and equals and model):
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=MODEL")
    return name, model
