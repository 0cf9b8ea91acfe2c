"""``kdseg study init``: a readable study from a data set's fingerprint."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from KDSegmentationLogic.commands.console import Console
from KDSegmentationLogic.commands.options import (
    add_data,
    add_general,
    add_overwrite,
    data_folder,
    positive_number,
    refuse_existing,
    whole_number,
)

if TYPE_CHECKING:
    from KDSegmentationLogic.training.dataset import Dataset


def add_init(actions: Any) -> None:
    """Add the action to those of ``kdseg study``."""
    parser: ArgumentParser = actions.add_parser(
        "init",
        help="write a study for a data set, from what its images are like",
        description="Read the training cases of a data set and write a study for it: spacing,"
        " normalisation, networks and patches that fit, with the figures that decided them. It"
        " is meant to be read and changed. Layouts: Medical Segmentation Decathlon, nnU-Net v2"
        " raw, SegTHOR, ACDC, BraTS 2018.",
    )
    parser.add_argument(
        "dataset", metavar="DATASET", help="a folder, or its name in the folder of --data"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="STUDY.yaml",
        help="default: named after the data set, in the current folder",
    )
    add_data(parser)
    parser.add_argument(
        "--memory",
        type=positive_number,
        default=4.0,
        metavar="GiB",
        help="that one training may take; default: %(default)g",
    )
    parser.add_argument(
        "--cases",
        type=whole_number,
        default=100,
        metavar="N",
        help="measure at most so many; default: %(default)s",
    )
    add_overwrite(parser)
    add_general(parser)
    parser.set_defaults(run=init)


def init(args: Namespace) -> int:
    """Write the study, having read it back."""
    console = Console.of(args)
    from KDSegmentationLogic.bundles.decoding import encode
    from KDSegmentationLogic.files import atomic_file
    from KDSegmentationLogic.studies.definition import read_study
    from KDSegmentationLogic.studies.draft import bundle_name, draft_study
    from KDSegmentationLogic.training.fingerprint import take_fingerprint
    from KDSegmentationLogic.training.plan import make_plan

    dataset = _dataset(args)
    if args.output:
        refuse_existing([args.output], args.overwrite)
    with console.monitor() as monitor:
        fingerprint = take_fingerprint(dataset, monitor, args.cases)
    plan = make_plan(fingerprint, args.memory)
    output = args.output or Path(f"{bundle_name(dataset, plan)}.yaml")
    refuse_existing([output], args.overwrite)
    with atomic_file(output) as path:
        path.write_text(draft_study(dataset, fingerprint, plan), "utf-8", newline="\n")
        read_study(path)
    console.say(f"The study is in {output}; read it before it is run.")
    facts = {"fingerprint": encode(fingerprint), "plan": encode(plan)}
    console.result({"study": str(output), **facts})
    return 0


def _dataset(args: Namespace) -> Dataset:
    """The folder that was named, or the data set of that name below the data folder."""
    from KDSegmentationLogic.training.dataset import find_dataset

    folder = Path(args.dataset).expanduser()
    data = data_folder(args)
    if folder.is_dir() or data is None:
        folder = folder.resolve()  # has a name, also where a dot was given
        return find_dataset(folder.name, folder.parent)
    return find_dataset(args.dataset, data)
