"""``kdseg demo``: student and ensemble on images that need no download."""

from __future__ import annotations

import importlib.util
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from KDSegmentationLogic.commands.console import Console
from KDSegmentationLogic.commands.options import (
    add_data,
    add_engine,
    add_general,
    check_output_folder,
    data_folder,
    settings_of,
)
from KDSegmentationLogic.errors import DatasetError, DependencyError

if TYPE_CHECKING:
    from KDSegmentationLogic.commands.inputs import Case
    from KDSegmentationLogic.inference.region import Point

STUDENT, ENSEMBLE = "HippocampusMR-student", "HippocampusMR-ensemble"
DATASET = "Task04_Hippocampus"

TEMPLATE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
TEMPLATE_NOTE = (
    "icbm152 is the ICBM 152 template of the package nilearn: the average of 152 real heads,"
    " skull-stripped, in MNI coordinates. It is smoother than one person's image."
)
# Both hippocampi in MNI coordinates, RAS mm.
HIPPOCAMPI = ((26.0, -21.0, -17.0), (-26.0, -21.0, -17.0))


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: ArgumentParser = subparsers.add_parser(
        "demo",
        help="segment real images with the bundled models",
        description="Segment both hippocampi of a brain template that comes with the package"
        f" nilearn, and a test case of {DATASET} where that is, with a student and its ensemble."
        " Results of an earlier demo are replaced.",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("kdseg-demo"), metavar="FOLDER")
    parser.add_argument(
        "-m",
        "--model",
        action="append",
        dest="models",
        help=f"given twice, other models than {STUDENT} and {ENSEMBLE}",
    )
    add_data(parser)
    add_engine(parser)
    add_general(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Compare the models on every image there is, and say where everything is."""
    from KDSegmentationLogic.bundles.catalogue import find_bundle
    from KDSegmentationLogic.commands.comparison import check_pair, compare_models, write_images
    from KDSegmentationLogic.commands.drawing import draw_comparison
    from KDSegmentationLogic.commands.tables import (
        agreement_rows,
        model_rows,
        report,
        table_files,
        write_tables,
    )

    console = Console.of(args)
    settings = settings_of(args, uncertainty=True)
    models = args.models or [STUDENT, ENSEMBLE]
    bundles = check_pair([find_bundle(model, verify=False) for model in models])
    check_output_folder(args.output)
    work = [*_template(), *_data_case(args, console)]
    comparisons, files = [], []
    with console.monitor() as monitor:
        for n, (case, points, reference) in enumerate(work):
            part = monitor.part(n / len(work), (n + 1) / len(work))
            folder = args.output / case.name
            comparison = compare_models(
                case, bundles, points, settings, reference, part.part(0.0, 0.8)
            )
            write_images(comparison, folder)
            files += draw_comparison(comparison, folder, part.part(0.8, 1.0))
            comparisons.append(comparison)
    write_tables(comparisons, args.output)
    files += table_files(args.output)
    console.say(report(comparisons))
    console.say(TEMPLATE_NOTE + "\n")
    console.say(f"Everything is in {args.output}, a folder for each case. Look first at:")
    console.say("\n".join(f"  {file}" for file in files))
    console.result(
        {
            "agreement": agreement_rows(comparisons),
            "models": model_rows(comparisons),
            "files": [str(file) for file in files],
        }
    )
    return 0


def template_file() -> Path:
    """The template inside the package nilearn, which need not be imported for it.

    Raises
    ------
    DependencyError : nilearn is not installed, or is a version without the template.
    """
    spec = importlib.util.find_spec("nilearn")
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "datasets" / "data" / TEMPLATE
        if path.is_file():
            return path
    raise DependencyError(
        "The demo's image comes with the package nilearn, which is not installed.",
        "Install it with: pip install nilearn",
    )


Work = tuple["Case", list["Point"], Path | None]


def _template() -> list[Work]:
    from KDSegmentationLogic.commands.inputs import Case
    from KDSegmentationLogic.inference.region import Point

    return [(Case("icbm152", (template_file(),)), [Point(ras) for ras in HIPPOCAMPI], None)]


def _data_case(args: Namespace, console: Console) -> list[Work]:
    """The first test case of the data set; none where the data are not there."""
    from KDSegmentationLogic.commands.inputs import Case
    from KDSegmentationLogic.training.dataset import find_dataset

    data = data_folder(args)
    if data is None or not (data / DATASET).is_dir():
        console.notice(f"{DATASET} is not there, so the demo goes on without it.")
        return []
    try:
        tests = find_dataset(DATASET, data, complete=False).split("test")
    except DatasetError as error:
        console.notice(f"{error} The demo goes on without {DATASET}.")
        return []
    if not tests:
        console.notice(f"{data / DATASET} lists no test case, so the demo goes on without it.")
        return []
    first = tests[0]
    return [(Case(first.name, first.images), [], first.labels)]
