"""``kdseg study``: run a declared experiment."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from KDSegmentationLogic.commands.console import Console
from KDSegmentationLogic.commands.options import (
    add_data,
    add_general,
    check_output_folder,
    required_data_folder,
    whole_number,
)
from KDSegmentationLogic.studies.names import STAGES


def add_parser(subparsers: Any) -> None:
    """Add the command and its own commands."""
    parser: ArgumentParser = subparsers.add_parser(
        "study",
        help="train an ensemble, distil it and measure both",
        description="Run the experiment that a study file declares.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    runs: ArgumentParser = actions.add_parser(
        "run",
        help="run a study, or go on with it",
        description="Run a study. A run that was stopped goes on where it was; what is done is"
        " not done again.",
    )
    runs.add_argument("study", type=Path, metavar="STUDY.yaml")
    runs.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FOLDER", help="folder of the run"
    )
    add_data(runs)
    runs.add_argument(
        "--jobs", type=whole_number, default=1, metavar="N", help="trainings beside each other"
    )
    runs.add_argument(
        "--until",
        choices=STAGES,
        default=STAGES[-1],
        help="stop after this stage; default: %(default)s",
    )
    add_general(runs)
    runs.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Run the study and say where its folder is."""
    console = Console.of(args)
    data = required_data_folder(args)
    check_output_folder(args.output)
    from KDSegmentationLogic.studies.run import run_study

    with console.monitor() as monitor:
        run_study(args.study, data, args.output, args.jobs, args.until, monitor)
    console.say(f"The study's results are in {args.output}.")
    console.result({"study": str(args.study), "folder": str(args.output)})
    return 0
