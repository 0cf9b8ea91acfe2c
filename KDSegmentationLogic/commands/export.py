"""``kdseg export``: a model's networks for other programs.

Standard library only.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from KDSegmentationLogic.commands.console import Console
from KDSegmentationLogic.commands.options import (
    add_general,
    add_overwrite,
    positive_number,
    refuse_existing,
)
from KDSegmentationLogic.errors import UsageError

if TYPE_CHECKING:
    from KDSegmentationLogic.bundles.bundle import Bundle
    from KDSegmentationLogic.bundles.description import Member

_ENDINGS = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".pt", "monai-bundle": ".zip"}
_MODELS = ("onnx-model", "int8")
_BOUND = 0.99


def add_parser(subparsers: Any) -> None:
    """Add the command."""
    parser: ArgumentParser = subparsers.add_parser(
        "export",
        help="write a model's networks for other programs",
        description="Write a model's networks for other programs. A network takes the prepared"
        " image (the model's spacing, orientation and normalisation, see 'kdseg models show') as"
        " float32 [n, channels, z, y, x], sizes multiples of what the network halves, and gives"
        " logits of the same size. Batch normalisation is folded into the convolutions."
        " monai-bundle packs the whole model, which is a MONAI bundle. onnx-model copies the model"
        " with its networks as ONNX files in it: OpenVINO then needs neither torch nor onnx. int8"
        " copies it with networks in 8-bit integers (for --precision reduced), where their labels"
        " of the given cases agree with float32's and they are faster.",
    )
    parser.add_argument("model", metavar="MODEL", help="an installed model, or its folder")
    parser.add_argument("--to", required=True, choices=(*_ENDINGS, *_MODELS), help="the format")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        type=Path,
        metavar="PATH",
        help="a file; of an ensemble's networks a folder, with a file for each; of onnx-model and"
        " int8 the new model's folder",
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        metavar="INPUT",
        default=[],
        help="for int8: real images, as 'kdseg segment' takes them; every third calibrates, the"
        " others check",
    )
    parser.add_argument(
        "--bound",
        type=positive_number,
        default=_BOUND,
        metavar="DICE",
        help="for int8: least mean Dice with float32's labels, of each structure; default"
        f" {_BOUND}",
    )
    add_overwrite(parser)
    add_general(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Write the files and say their names."""
    from KDSegmentationLogic.bundles.catalogue import find_bundle

    console = Console.of(args)
    bundle = find_bundle(args.model)
    more: dict[str, Any] = {}
    if args.to in _MODELS:
        refuse_existing([args.output], args.overwrite)
        written = [args.output]
        if args.to == "int8":
            more["check"] = _reduce(bundle, args, console)
        else:
            _with_onnx(bundle, args.output)
    else:
        written = _whole(bundle, args) if args.to == "monai-bundle" else _networks(bundle, args)
    for path in written:
        console.say(str(path))
    found = {"model": bundle.name, "format": args.to, "files": [str(p) for p in written]}
    console.result(found | more)
    return 0


def _reduce(bundle: Bundle, args: Namespace, console: Console) -> Any:
    from KDSegmentationLogic.bundles.decoding import encode
    from KDSegmentationLogic.commands.inputs import find_cases
    from KDSegmentationLogic.commands.reduction import reduce_bundle

    if not args.cases:
        raise UsageError("No cases were given to check 8-bit integers on.", "Give --cases.")
    cases, _ = find_cases(args.cases, bundle.description.channels, [], None)
    data = Path(args.cases[0]).resolve()
    name = data.name if data.is_dir() else data.parent.name
    with console.monitor() as monitor:
        found = reduce_bundle(bundle, cases, name, args.bound, args.output, monitor)
    for structure, dice in found.agreement.items():
        console.say(
            f"{structure}: mean Dice {dice:.4f} with float32, least {found.least[structure]:.4f}"
        )
    console.say(f"{found.seconds:.3f} s a case, float32 {found.seconds_full:.3f} s")
    return encode(found)


def _with_onnx(bundle: Bundle, target: Path) -> None:
    """Also what an engine must know of the networks, so that torch need not be asked."""
    import tempfile
    from dataclasses import replace

    from KDSegmentationLogic.bundles.description import NO_SUM, StoredFile
    from KDSegmentationLogic.bundles.writing import update_bundle
    from KDSegmentationLogic.inference.engines import conversion
    from KDSegmentationLogic.inference.engines.estimate import Logits
    from KDSegmentationLogic.inference.engines.facts import facts_of_member

    members, files = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for member in bundle.description.members:
            path = f"models/{Path(member.weights).stem}.onnx"
            files[path] = Path(folder) / Path(path).name
            network = Logits(conversion.network_of(bundle, member))
            files[path].write_bytes(conversion.to_onnx(network))
            footprint = facts_of_member(member).footprint
            members.append(replace(member, onnx=StoredFile(path, NO_SUM), footprint=footprint))
        described = replace(bundle.description, members=tuple(members))
        update_bundle(bundle, described, files, target)


def _whole(bundle: Bundle, args: Namespace) -> list[Path]:
    from KDSegmentationLogic.bundles.transfer import export_zip

    _check(args.output, ".zip")
    refuse_existing([args.output], args.overwrite)
    return [export_zip(bundle, args.output)]


def _networks(bundle: Bundle, args: Namespace) -> list[Path]:
    members, ending = bundle.description.members, _ENDINGS[args.to]
    if len(members) == 1:
        _check(args.output, ending)
        targets = [args.output]
    else:
        if args.output.suffix == ending:
            raise UsageError(
                f"{bundle.name} has {len(members)} networks, and {args.output} is one file.",
                "Give a folder with -o.",
            )
        targets = [args.output / (Path(member.weights).stem + ending) for member in members]
    refuse_existing(targets, args.overwrite)
    for member, target in zip(members, targets, strict=True):
        _WRITERS[args.to](bundle, member, target)
    return targets


def _check(path: Path, ending: str) -> None:
    if path.suffix != ending:
        raise UsageError(
            f"The name {path.name} does not end in {ending}.", f"Call the file {path.stem}{ending}."
        )


def _write_bytes(convert: str) -> Callable[[Bundle, Member, Path], None]:
    def write(bundle: Bundle, member: Member, target: Path) -> None:
        from KDSegmentationLogic.files import atomic_file
        from KDSegmentationLogic.inference.engines import conversion

        content = getattr(conversion, convert)(conversion.network_of(bundle, member))
        with atomic_file(target) as temporary:
            temporary.write_bytes(content)

    return write


def _write_openvino(bundle: Bundle, member: Member, target: Path) -> None:
    from KDSegmentationLogic.files import atomic_file
    from KDSegmentationLogic.inference.engines import conversion
    from KDSegmentationLogic.inference.engines.runtimes import openvino_runtime

    model = conversion.to_openvino(conversion.network_of(bundle, member))
    # the inner one appears first: a graph is never there without its weights
    with atomic_file(target) as graph, atomic_file(target.with_suffix(".bin")) as weights:
        openvino_runtime().serialize(model, str(graph), str(weights))


_WRITERS: dict[str, Callable[[Bundle, Member, Path], None]] = {
    "onnx": _write_bytes("to_onnx"),
    "torchscript": _write_bytes("to_torchscript"),
    "openvino": _write_openvino,
}
