"""``kdseg models``: which models are installed, what one is, and bringing one in.

Standard library only.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from KDSegmentationLogic.bundles.bundle import Bundle, load_bundle
from KDSegmentationLogic.bundles.catalogue import find_bundle, list_bundles, user_models_folder
from KDSegmentationLogic.bundles.decoding import encode
from KDSegmentationLogic.bundles.transfer import import_bundle
from KDSegmentationLogic.commands.card import card
from KDSegmentationLogic.commands.console import Console
from KDSegmentationLogic.commands.options import add_general
from KDSegmentationLogic.errors import BundleError


def add_parser(subparsers: Any) -> None:
    """Add the command and its own commands."""
    parser: ArgumentParser = subparsers.add_parser(
        "models",
        help="list, show, verify and import models",
        description="List the installed models (without a further word), or look after them.",
    )
    add_general(parser)
    parser.set_defaults(run=run_list)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    add_general(_action(actions, "list", run_list, "list the installed models"))
    show = _action(actions, "show", run_show, "show what a model is and what it expects")
    show.add_argument("model", metavar="NAME", help="an installed model, or a bundle's folder")
    add_general(show)
    verify = _action(actions, "verify", run_verify, "check a model's files against its checksums")
    verify.add_argument("model", metavar="PATH_OR_NAME")
    add_general(verify)
    bring = _action(actions, "import", run_import, "check a model and install it for this user")
    bring.add_argument("source", type=Path, metavar="ZIP_OR_FOLDER")
    bring.add_argument("--replace", action="store_true", help="replace a model of that name")
    add_general(bring)


def run_list(args: Namespace) -> int:
    """Print the models that can be used; on stderr, what is wrong with others."""
    console = Console.of(args)
    bundles, problems = list_bundles()
    for problem in problems:
        console.notice(str(problem))
    if not bundles:
        console.say(f"No models are installed, neither here nor in {user_models_folder()}.")
    width = max((len(bundle.name) for bundle in bundles), default=0)
    for bundle in bundles:
        described = bundle.description
        structures = ", ".join(label.name for label in described.labels[:4])
        more = len(described.labels) - 4
        more_text = f" and {more} more" if more > 0 else ""
        console.say(f"{bundle.name:{width}}  {described.kind:8}  {structures}{more_text}")
    console.result(
        {
            "models": [_facts(bundle) for bundle in bundles],
            "problems": [str(problem) for problem in problems],
        }
    )
    return 0


def run_show(args: Namespace) -> int:
    """Print a model's card, with the state of its files."""
    console = Console.of(args)
    bundle = find_bundle(args.model, verify=False)
    problem = _problem(bundle)
    console.say(card(bundle, problem))
    console.result({**_facts(bundle), "problem": problem})
    return 0


def run_verify(args: Namespace) -> int:
    """Check every file of a model; ``BundleError`` says which does not match."""
    console = Console.of(args)
    bundle = find_bundle(args.model)
    members = bundle.description.members
    files = len(members) + sum(member.onnx is not None for member in members)
    counted = "file of weights matches its" if files == 1 else "files of weights match their"
    console.say(f"{bundle.name} is whole: {files} {counted} SHA-256.")
    console.result({"name": bundle.name, "folder": str(bundle.folder), "files": files})
    return 0


def run_import(args: Namespace) -> int:
    """Install a model and say under which licence it comes."""
    console = Console.of(args)
    bundle = import_bundle(args.source, args.replace)
    console.say(f"{bundle.name} is installed in {bundle.folder}.")
    console.say(f"Its licence is {bundle.description.licence}.")
    console.say(f"Use it with: kdseg segment INPUT -m {bundle.name} -o OUTPUT")
    console.result(_facts(bundle))
    return 0


def _action(actions: Any, name: str, run: Any, meaning: str) -> ArgumentParser:
    parser: ArgumentParser = actions.add_parser(name, help=meaning, description=meaning + ".")
    parser.set_defaults(run=run)
    return parser


def _problem(bundle: Bundle) -> str | None:
    try:
        load_bundle(bundle.folder)
    except BundleError as error:
        return str(error)
    return None


def _facts(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "folder": str(bundle.folder),
        "description": encode(bundle.description),
    }
