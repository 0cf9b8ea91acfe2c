"""``kdseg data``: make data sets to train on."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from KDSegmentationLogic.commands.console import Console
from KDSegmentationLogic.commands.options import (
    add_general,
    check_output_folder,
    positive_number,
    whole_number,
)
from KDSegmentationLogic.dependencies import require
from KDSegmentationLogic.errors import UsageError


def add_parser(subparsers: Any) -> None:
    """Add the command and its own commands."""
    parser: ArgumentParser = subparsers.add_parser(
        "data", help="make data sets to train on", description="Make data sets to train on."
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    makes: ArgumentParser = actions.add_parser(
        "synthesize",
        help="make brain MR images of chosen contrasts from label maps",
        description="Make a data set (nnU-Net v2 raw) of brain MR images from label maps of whole"
        " heads with FreeSurfer's codes: six structures, and lesions if asked for. The same seed"
        " makes the same files. A run that was stopped goes on where it was, and a larger"
        " --cases makes the rest. All images of one head are in one list.",
    )
    makes.add_argument("maps", type=Path, metavar="LABELMAPS", help="folder of label maps")
    makes.add_argument("-o", "--output", required=True, type=Path, metavar="FOLDER")
    makes.add_argument("--cases", required=True, type=whole_number, metavar="N")
    makes.add_argument("--seed", required=True, type=_seed, metavar="S")
    makes.add_argument(
        "--contrasts",
        nargs="+",
        default=["T1", "T2", "FLAIR", "T1CE"],
        metavar="NAME",
        help="of T1, T2, FLAIR, T1CE (with contrast agent), random (every tissue as bright as"
        " chance has it) and any (another contrast each case, half of them random);"
        " default: the first four",
    )
    makes.add_argument(
        "--spacing", type=positive_number, default=2.0, metavar="MM", help="default: %(default)g"
    )
    makes.add_argument(
        "--lesions", action="store_true", help="put lesions into white matter, with a label"
    )
    makes.add_argument(
        "--skull",
        choices=("with", "without", "both"),
        default="with",
        help="both: each head with and without in turn; default: %(default)s",
    )
    makes.add_argument(
        "--jobs", type=whole_number, default=1, metavar="N", help="processes beside each other"
    )
    add_general(makes)
    makes.set_defaults(run=synthesize)


def synthesize(args: Namespace) -> int:
    """Make the data set and say what is in it."""
    console = Console.of(args)
    require("torch", "torchio")
    check_output_folder(args.output)
    from KDSegmentationLogic.training.synthesis.case import Recipe
    from KDSegmentationLogic.training.synthesis.dataset import synthesise_dataset

    try:
        recipe = Recipe(tuple(args.contrasts), args.spacing, args.lesions, args.skull, args.seed)
    except ValueError as error:
        raise UsageError(
            f"These cases cannot be made: {error}.", "See 'kdseg data synthesize --help'."
        ) from None
    with console.monitor() as monitor:
        plan = synthesise_dataset(args.maps, args.output, recipe, args.cases, args.jobs, monitor)
    counts = {
        part: sum(plan.lists[plan.source(n)] == part for n in range(plan.cases))
        for part in ("train", "val", "test")
    }
    console.say(
        f"{args.output} holds {plan.cases} cases: {counts['train']} to train,"
        f" {counts['val']} to validate, {counts['test']} to test."
    )
    console.result({"folder": str(args.output), "cases": plan.cases, **counts})
    return 0


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ArgumentTypeError(f"{text} is below zero")
    return value
