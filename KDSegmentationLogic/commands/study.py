"""``kdseg study``: run a declared experiment, or train one network of it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from KDSegmentationLogic.commands.console import Console
from KDSegmentationLogic.commands.drafting import add_init
from KDSegmentationLogic.commands.options import (
    add_data,
    add_general,
    check_output_folder,
    data_folder,
    required_data_folder,
    whole_number,
)
from KDSegmentationLogic.commands.releasing import add_release
from KDSegmentationLogic.studies.names import STAGES


def add_parser(subparsers: Any) -> None:
    """Add the command and its own commands."""
    parser: ArgumentParser = subparsers.add_parser(
        "study",
        help="train an ensemble, distil it and measure both",
        description="Run the experiment that a study file declares.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    add_init(actions)
    runs: ArgumentParser = actions.add_parser(
        "run",
        help="run a study, or go on with it",
        description="Run a study. A run that was stopped goes on where it was; what is done is"
        " not done again.",
    )
    _add_study(runs)
    runs.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask scheduler (tcp://HOST:PORT), or its file: train on its workers",
    )
    runs.add_argument(
        "--jobs", type=whole_number, default=1, metavar="N", help="trainings beside each other"
    )
    runs.add_argument(
        "--until",
        choices=STAGES,
        default=STAGES[-1],
        help="stop after this stage; default: %(default)s",
    )
    runs.add_argument(
        "--trained-only",
        action="store_true",
        help="train nothing: bundle, measure and report what is trained",
    )
    _add_hardware(runs)
    add_general(runs)
    runs.set_defaults(run=run)
    _add_train(actions)
    _add_report(actions)
    add_release(actions)


def _add_study(parser: ArgumentParser) -> None:
    parser.add_argument("study", type=Path, metavar="STUDY.yaml")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FOLDER", help="folder of the run"
    )
    add_data(parser)


def _add_train(actions: Any) -> None:
    trains: ArgumentParser = actions.add_parser(
        "train",
        help="train one network of a study, on several GPUs or nodes if asked to",
        description="Train one network of a study. With --devices, or started by torchrun, its"
        " processes share each batch.",
    )
    _add_study(trains)
    trains.add_argument("arm", metavar="ARM", help="its name, with -s<seed> or -f<fold>")
    trains.add_argument(
        "--devices", type=whole_number, default=1, metavar="N", help="a node; default: 1"
    )
    trains.add_argument(
        "--nodes", type=whole_number, default=1, metavar="N", help="default: %(default)s"
    )
    _add_hardware(trains)
    trains.add_argument("--threads", type=whole_number, metavar="N", help="default: as torch")
    add_general(trains)
    trains.set_defaults(run=train)


def _add_hardware(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="of each training; default: a GPU where there is one",
    )
    # no float16: its loss scaling overflows by design, and is one more state to resume
    parser.add_argument(
        "--precision",
        choices=("auto", "32-true", "bf16-mixed"),
        default="auto",
        help="default: bfloat16 where a GPU has it",
    )


def _add_report(actions: Any) -> None:
    reports: ArgumentParser = actions.add_parser(
        "report",
        help="write the report of a study's run",
        description="Write the report of what a run has measured so far: a page that needs no"
        " other file, the same in Markdown, and all comparisons as JSON.",
    )
    reports.add_argument("folder", type=Path, metavar="FOLDER", help="of the run")
    reports.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="default: report in the run's folder"
    )
    add_data(reports)
    add_general(reports)
    reports.set_defaults(run=report)


def run(args: Namespace) -> int:
    """Run the study and say where its folder is."""
    console = Console.of(args)
    data = required_data_folder(args)
    check_output_folder(args.output)
    from KDSegmentationLogic.studies.run import run_study
    from KDSegmentationLogic.studies.scheduling import Scheduler
    from KDSegmentationLogic.training.hardware import Hardware

    scheduler = Scheduler(args.jobs, args.scheduler)
    hardware = Hardware(args.device, precision=args.precision)
    with console.monitor() as monitor:
        run_study(
            args.study,
            data,
            args.output,
            scheduler,
            args.until,
            monitor,
            hardware,
            trained_only=args.trained_only,
        )
    console.say(f"The study's results are in {args.output}.")
    console.result({"study": str(args.study), "folder": str(args.output)})
    return 0


def train(args: Namespace) -> int:
    """Train one arm and say where its weights are."""
    console = Console.of(args)
    data = required_data_folder(args)
    check_output_folder(args.output)
    from KDSegmentationLogic.studies.stages import train_arm
    from KDSegmentationLogic.training.hardware import Hardware

    hardware = Hardware(args.device, args.devices, args.nodes, args.precision)
    # processes that Fabric starts have another working folder at times
    places = args.study.resolve(), data.resolve(), args.output.resolve()
    with console.monitor() as monitor:
        train_arm(*places, args.arm, args.threads, hardware, monitor)
    console.say(f"{args.arm} is trained; its weights are in {args.output / 'arms'}.")
    console.result({"arm": args.arm, "folder": str(args.output)})
    return 0


def report(args: Namespace) -> int:
    """Write the report and say where it is."""
    console = Console.of(args)
    data = data_folder(args)
    study_file = args.folder / "study.yaml"
    output = args.output or args.folder / "report"
    check_output_folder(output)
    from KDSegmentationLogic.studies.artefacts import RunFolder
    from KDSegmentationLogic.studies.definition import read_study
    from KDSegmentationLogic.studies.report import write_report

    folder = RunFolder(args.folder.resolve(), read_study(study_file))
    written = write_report(folder, output, data)
    console.say(f"The report is {written[0]}.")
    console.result({"report": [str(path) for path in written]})
    return 0
