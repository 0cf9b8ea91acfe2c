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
)
from KDSegmentationLogic.errors import Cancelled

if TYPE_CHECKING:
    from KDSegmentationLogic.bundles.bundle import Bundle
    from KDSegmentationLogic.commands.inputs import Case
    from KDSegmentationLogic.commands.outputs import Target
    from KDSegmentationLogic.inference.pipeline import Predictor
    from KDSegmentationLogic.inference.region import Region
    from KDSegmentationLogic.progress import Monitor


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: ArgumentParser = subparsers.add_parser(
        "segment",
        help="segment images",
        description="Segment files, DICOM folders or a folder of images. OUTPUT's ending decides"
        " the format: .seg.nrrd opens in Slicer as a segmentation, with names and colours; .nii.gz,"
        " .nrrd, .mha and .png are label maps; .dcm is DICOM SEG, for a DICOM folder. With several"
        " inputs OUTPUT is a folder, and --format decides.",
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
    targets = plan_targets(
        cases,
        many,
        args.output,
        probabilities=args.probabilities,
        uncertainty=args.uncertainty,
        overwrite=args.overwrite,
        ending=args.format,
    )
    return _Batch(args, console, bundle, regions).run(list(zip(cases, targets, strict=True)))


class _Batch:
    """The cases of one call; what was done and what failed."""

    def __init__(
        self, args: Namespace, console: Console, bundle: Bundle, regions: list[Region]
    ) -> None:
        self._args = args
        self._console = console
        self._bundle = bundle
        self._regions = regions
        self._done: list[dict[str, Any]] = []
        self._failed: list[dict[str, Any]] = []

    def run(self, work: list[tuple[Case, Target]]) -> int:
        from KDSegmentationLogic.inference.pipeline import Predictor

        settings = settings_of(
            self._args, probabilities=self._args.probabilities, uncertainty=self._args.uncertainty
        )
        with self._console.monitor() as monitor:
            predictor = Predictor(self._bundle, settings, monitor)
            for n, (case, target) in enumerate(work):
                part = monitor.part(n / len(work), (n + 1) / len(work))
                try:
                    self._done.append(self._segment(predictor, case, target, part))
                except Cancelled:
                    raise
                except Exception as error:
                    if len(work) == 1:
                        raise
                    self._note_failure(case, error)
        self._report()
        return 1 if self._failed else 0

    def _segment(
        self, predictor: Predictor, case: Case, target: Target, monitor: Monitor
    ) -> dict[str, Any]:
        from KDSegmentationLogic.commands.union import segment_regions
        from KDSegmentationLogic.evaluation.agreement import volumes_of

        monitor.report(0.0, case.name)
        images = case.read(monitor)
        result = segment_regions(predictor, images, self._regions, monitor.part(0.0, 0.95))
        target.write(result, self._bundle.description.labels, self._bundle.name)
        names = {label.value: label.name for label in self._bundle.description.labels}
        volumes, unit = volumes_of(result.labels, names)
        return {
            "name": case.name,
            "inputs": [str(file) for file in case.files],
            "labels": str(target.labels),
            "probabilities": _text(target.probabilities),
            "uncertainty": _text(target.uncertainty),
            "deviation": _text(target.deviation if result.deviation is not None else None),
            "device": result.device,
            "engine": result.engine,
            "seconds": result.seconds,
            "volumes": volumes,
            "volume_unit": unit,
            "notices": result.notices,
        }

    def _note_failure(self, case: Case, error: Exception) -> None:
        if self._args.debug:
            traceback.print_exception(error)
        self._failed.append({"name": case.name, "error": describe(error)})

    def _report(self) -> None:
        for done in self._done:
            seconds = sum(done["seconds"].values())
            volumes = ", ".join(
                f"{name} {volume:.4g} {done['volume_unit']}"
                for name, volume in done["volumes"].items()
                if volume > 0
            )
            self._console.say(f"{done['labels']}  {seconds:.2f} s  {volumes or 'nothing found'}")
        for failed in self._failed:
            self._console.error(f"{failed['name']} failed: {failed['error']}")
        total = len(self._done) + len(self._failed)
        if self._failed:
            self._console.error(f"{len(self._failed)} of {total} cases failed.")
        self._console.result(
            {"model": self._bundle.name, "cases": self._done, "failed": self._failed}
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
