"""``kdseg compare``: two models on one case, usually a student and its ensemble."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from KDSegmentationLogic.commands.console import Console
from KDSegmentationLogic.commands.options import (
    add_engine,
    add_general,
    add_overwrite,
    add_regions,
    check_output_folder,
    refuse_existing,
    regions_of,
    settings_of,
)
from KDSegmentationLogic.errors import UsageError


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: ArgumentParser = subparsers.add_parser(
        "compare",
        help="compare two models on one case",
        description="Run two models, usually a student and its ensemble, on one case, and tell"
        " how well they agree, how long each takes and how much memory. Writes label maps,"
        " tables, a scene for Slicer and a picture.",
    )
    parser.add_argument(
        "input", metavar="INPUT", help="a file, a DICOM folder, or channels: a.nii.gz,b.nii.gz"
    )
    parser.add_argument(
        "-m",
        "--model",
        action="append",
        required=True,
        dest="models",
        help="given twice: the student, then the ensemble",
    )
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FOLDER")
    parser.add_argument(
        "--reference", type=Path, metavar="LABELS", help="a label map of the true structures"
    )
    parser.add_argument("--series", metavar="UID", help="one series of a DICOM folder")
    add_regions(parser)
    add_overwrite(parser)
    add_engine(parser)
    add_general(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Run both models, write everything, and print the tables."""
    from KDSegmentationLogic.bundles.catalogue import find_bundle
    from KDSegmentationLogic.commands.comparison import (
        check_pair,
        compare_models,
        image_files,
        write_images,
    )
    from KDSegmentationLogic.commands.drawing import draw_comparison, drawing_files
    from KDSegmentationLogic.commands.inputs import find_cases
    from KDSegmentationLogic.commands.tables import (
        agreement_rows,
        model_rows,
        report,
        table_files,
        write_tables,
    )

    console, folder = Console.of(args), args.output
    regions, settings = regions_of(args), settings_of(args, uncertainty=True)
    bundles = check_pair([find_bundle(model, verify=False) for model in args.models])
    cases, many = find_cases([args.input], bundles[0].description.channels, series=args.series)
    if many:
        raise UsageError(f"{args.input} holds several cases.", "Give one of them.")
    check_output_folder(folder)
    files = [*image_files(bundles, folder), *table_files(folder)]
    refuse_existing([*files, *drawing_files(folder)], args.overwrite)
    with console.monitor() as monitor:
        comparison = compare_models(
            cases[0], bundles, regions, settings, args.reference, monitor.part(0.0, 0.8)
        )
        write_images(comparison, folder)
        write_tables([comparison], folder)
        files += draw_comparison(comparison, folder, monitor.part(0.8, 1.0))
    console.say(report([comparison]))
    console.say("\n".join(map(str, files)))
    console.result(
        {
            "agreement": agreement_rows([comparison]),
            "models": model_rows([comparison]),
            "files": [str(file) for file in files],
        }
    )
    return 0
