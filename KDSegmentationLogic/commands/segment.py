"""``kdseg segment``: label maps of images, with one loaded model."""

from __future__ import annotations

import traceback
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from KDSegmentationLogic.commands.console import Console, describe
from KDSegmentationLogic.commands.options import (
    add_engine,
    add_general,
    add_overwrite,
    add_regions,
    regions_of,
    settings_of,
    whole_number,
)
from KDSegmentationLogic.errors import UsageError

if TYPE_CHECKING:
    from KDSegmentationLogic.bundles.bundle import Bundle
    from KDSegmentationLogic.commands.cohorts import Piece
    from KDSegmentationLogic.commands.inputs import Case
    from KDSegmentationLogic.commands.outputs import Target
    from KDSegmentationLogic.inference.pipeline import Settings
    from KDSegmentationLogic.inference.region import Region

    Work = list[tuple[Case, Target]]


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: ArgumentParser = subparsers.add_parser(
        "segment",
        help="segment images",
        description="Segment files, DICOM folders or a folder of images. OUTPUT's ending decides"
        " the format: .seg.nrrd opens in Slicer as a segmentation, with names and colours; .nii.gz,"
        " .nrrd, .mha and .png are label maps; .dcm is DICOM SEG, for a DICOM folder. With several"
        " inputs OUTPUT is a folder, and --format decides; a run that was stopped goes on: what is"
        " finished there, with the same model, settings and inputs, is not made again.",
    )
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="a file, a DICOM folder, a folder of images; several channels: a.nii.gz,b.nii.gz",
    )
    parser.add_argument("-m", "--model", required=True, help="an installed model, or its folder")
    parser.add_argument("-o", "--output", required=True, type=Path, help="a file or a folder")
    parser.add_argument(
        "--format",
        choices=(".seg.nrrd", ".nii.gz", ".nrrd", ".mha"),
        help="of all results in a folder; default: that of each input",
    )
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="the image of one channel, instead of INPUT",
    )
    parser.add_argument("--series", metavar="UID", help="one series of a DICOM folder")
    add_regions(parser)
    parser.add_argument(
        "--probabilities", action="store_true", help="also write the classes' probabilities"
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="also write the entropy, and the deviation between the members of an ensemble",
    )
    add_overwrite(parser)
    add_engine(parser)
    many = parser.add_argument_group("many cases")
    many.add_argument(
        "--jobs",
        type=whole_number,
        metavar="N",
        help="processes, which share cores and --memory-limit; default: one, or one a GPU",
    )
    many.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask scheduler (tcp://HOST:PORT), or its file: segment on its workers, which"
        " see the same folders",
    )
    add_general(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Check everything that can be checked, load the model once, then do case after case."""
    from KDSegmentationLogic.bundles.catalogue import find_bundle
    from KDSegmentationLogic.commands.inputs import find_cases
    from KDSegmentationLogic.commands.outputs import plan_targets

    console = Console.of(args)
    regions = regions_of(args)
    bundle = find_bundle(args.model)
    cases, many = find_cases(args.inputs, bundle.description.channels, args.channel, args.series)
    if args.scheduler is not None and not many:
        raise UsageError("--scheduler is for several cases.", "Leave it out for a single one.")
    targets = plan_targets(
        cases,
        many,
        args.output,
        probabilities=args.probabilities,
        uncertainty=args.uncertainty,
        overwrite=args.overwrite or many,  # of many, the folder's manifest says which are its own
        ending=args.format,
    )
    work = list(zip(cases, targets, strict=True))
    return (_run_many if many else _run_one)(args, console, bundle, regions, work)


def _run_one(
    args: Namespace, console: Console, bundle: Bundle, regions: list[Region], work: Work
) -> int:
    from KDSegmentationLogic.inference.pipeline import Predictor

    (piece,) = _pieces(bundle, regions, work)
    with console.monitor() as monitor:
        predictor = Predictor(bundle, _settings(args), monitor)
        monitor.report(0.0, piece.name)
        images = piece.read(monitor)
        result = piece.segment(predictor, images, monitor.part(0.0, 0.95))
        done = piece.write(result)
    _say(console, done)
    console.result({"model": bundle.name, "cases": [done], "failed": []})
    return 0


def _run_many(
    args: Namespace, console: Console, bundle: Bundle, regions: list[Region], work: Work
) -> int:
    from KDSegmentationLogic.commands.cohorts import Cohort, Place
    from KDSegmentationLogic.inference.cohort_processes import gpus, lanes_of

    settings = _settings(args)
    pieces = _pieces(bundle, regions, work, everywhere=args.scheduler is not None)
    cohort = Cohort(bundle, settings, pieces, args.overwrite)
    lanes = lanes_of(settings, args.jobs, gpus(args.device)) if args.scheduler is None else []
    with console.monitor() as monitor:
        cohort.run(Place(lanes, args.scheduler), monitor)
    done = [cohort.done[n] for n in sorted(cohort.done)]
    for one in done:
        _say(console, one)
    failed = []
    for n, error in sorted(cohort.failed.items()):
        if args.debug:
            traceback.print_exception(error)
        failed.append({"name": pieces[n].name, "error": describe(error)})
        console.error(f"{pieces[n].name} failed: {failed[-1]['error']}")
    if failed:
        console.error(f"{len(failed)} of {len(pieces)} cases failed.")
    console.result({"model": bundle.name, "cases": done, "failed": failed})
    return 1 if failed else 0


def _settings(args: Namespace) -> Settings:
    return settings_of(args, probabilities=args.probabilities, uncertainty=args.uncertainty)


def _pieces(
    bundle: Bundle, regions: list[Region], work: Work, everywhere: bool = False
) -> list[Piece]:
    """``everywhere``: with paths that other processes' working folders do not change."""
    from KDSegmentationLogic.commands.cohorts import Piece

    structures = tuple(bundle.description.labels)
    pieces = [Piece(case, to, tuple(regions), structures, bundle.name) for case, to in work]
    return [piece.absolute() for piece in pieces] if everywhere else pieces


def _say(console: Console, done: dict[str, Any]) -> None:
    seconds = sum(done["seconds"].values())
    volumes = ", ".join(
        f"{name} {volume:.4g} {done['volume_unit']}"
        for name, volume in done["volumes"].items()
        if volume > 0
    )
    took = "finished before" if done.get("skipped") else f"{seconds:.2f} s"
    console.say(f"{done['labels']}  {took}  {volumes or 'nothing found'}")
