"""``kdseg evaluate``: label maps against references, case by case and structure by structure."""

from __future__ import annotations

import math
import traceback
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from KDSegmentationLogic.commands.console import Console, describe
from KDSegmentationLogic.commands.options import (
    add_general,
    add_overwrite,
    check_output_folder,
    refuse_existing,
)
from KDSegmentationLogic.errors import KDSegError, UsageError
from KDSegmentationLogic.files import write_text

if TYPE_CHECKING:
    from KDSegmentationLogic.evaluation.structures import StructureResult

CASES, RESULTS, SUMMARY = "cases.csv", "results.json", "summary.md"


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: ArgumentParser = subparsers.add_parser(
        "evaluate",
        help="compare label maps with references",
        description="Compare label maps with references: two files, or two folders whose files"
        f" have the same names. Writes {CASES}, {RESULTS} and {SUMMARY}, and prints the summary.",
    )
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS")
    parser.add_argument("references", type=Path, metavar="REFERENCES")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FOLDER")
    names = parser.add_mutually_exclusive_group()
    names.add_argument("-m", "--model", help="name the structures as this model does")
    names.add_argument(
        "--labels",
        type=Path,
        metavar="NAMES.json",
        help="a JSON object of value to name or name to value, or a dataset.json with one",
    )
    parser.add_argument(
        "--unit", choices=("mm", "px"), help="of distances; default: mm where a file has it"
    )
    parser.add_argument(
        "--tolerance",
        type=_distance,
        metavar="DISTANCE",
        help="of the surface Dice: what two experts differ by; default: 1",
    )
    add_overwrite(parser)
    add_general(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Compare all pairs, write the tables, and print the summary."""
    from KDSegmentationLogic.commands.pairs import find_pairs
    from KDSegmentationLogic.evaluation.table import markdown, summarise, write_csv, write_json

    console = Console.of(args)
    names = _names(args)
    pairs = find_pairs(args.predictions, args.references)
    check_output_folder(args.output)
    files = [args.output / name for name in (CASES, RESULTS, SUMMARY)]
    refuse_existing(files, args.overwrite)
    for path in pairs.without_prediction:
        console.error(f"{path} has no prediction.")
    for path in pairs.without_reference:
        console.error(f"{path} has no reference.")
    results, failed = _compare(args, console, pairs.matched, names)
    if results:
        summaries = summarise(results)
        write_csv(files[0], results)
        write_json(files[1], results)
        text = markdown(summaries)
        write_text(files[2], text)
        console.say(text)
        console.say(f"{', '.join(map(str, files))}")
    for failure in failed:
        console.error(f"{failure['name']} failed: {failure['error']}")
    console.result(
        {
            "files": [str(file) for file in files] if results else [],
            "cases": list(results),
            "failed": failed,
            "without_prediction": [str(path) for path in pairs.without_prediction],
            "without_reference": [str(path) for path in pairs.without_reference],
        }
    )
    return 1 if failed else 0


def _compare(
    args: Namespace,
    console: Console,
    matched: dict[str, tuple[Path, Path]],
    names: dict[int, str],
) -> tuple[dict[str, list[StructureResult]], list[dict[str, str]]]:
    from KDSegmentationLogic.evaluation.metrics import TOLERANCE
    from KDSegmentationLogic.evaluation.structures import compare_labels
    from KDSegmentationLogic.imaging.reading import read_labels

    tolerance = TOLERANCE if args.tolerance is None else args.tolerance

    results, failed = {}, []
    with console.monitor() as monitor:
        for done, (name, (prediction, reference)) in enumerate(matched.items(), 1):
            try:
                results[name] = compare_labels(
                    read_labels(prediction),
                    read_labels(reference),
                    names,
                    unit=args.unit,
                    case=name,
                    tolerance=tolerance,
                )
            except KDSegError as error:
                if len(matched) == 1:
                    raise
                if args.debug:
                    traceback.print_exception(error)
                failed.append({"name": name, "error": describe(error)})
            monitor.report(done / len(matched), name)
    return results, failed


def _distance(text: str) -> float:
    """A finite distance of zero or more.

    Raises
    ------
    ArgumentTypeError : it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a distance of 0 or more")
    return value


def _names(args: Namespace) -> dict[int, str]:
    """Names by label value; none where nothing names them."""
    if args.model:
        from KDSegmentationLogic.bundles.catalogue import find_bundle

        described = find_bundle(args.model, verify=False).description
        return {label.value: label.name for label in described.labels}
    return read_names(args.labels) if args.labels else {}


def read_names(path: Path) -> dict[int, str]:
    """The structures' names of a JSON file, background left out.

    Either way round, so that the ``labels`` of a Decathlon and of an nnU-Net ``dataset.json``
    both serve: ``{"1": "liver"}`` or ``{"liver": 1}``, alone or under the key ``labels``.

    Raises
    ------
    UsageError : missing, not JSON, or of another form.
    """
    import json

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content.get("labels", content)
        names = {}
        for key, item in found.items():
            value, name = (item, key) if isinstance(item, int) else (int(key), item)
            names[value] = name
        if not all(isinstance(name, str) for name in names.values()):
            raise TypeError
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).", "Check the path.") from None
    except (ValueError, AttributeError, TypeError):
        raise UsageError(
            f"{path} does not name labels.", 'Give a JSON object such as {"1": "liver"}.'
        ) from None
    return {value: name for value, name in names.items() if value != 0}
