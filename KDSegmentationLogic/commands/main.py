"""The ``kdseg`` command: its commands, its exit status, and how it fails.

Standard library only, so that help costs nothing; a command imports what it needs when it
runs. Exit status: 0 done, 1 failed, 2 bad usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from KDSegmentationLogic import __version__
from KDSegmentationLogic.commands import (
    compare,
    data,
    demo,
    evaluate,
    export,
    models,
    segment,
    study,
)
from KDSegmentationLogic.commands.console import describe, speak_utf8
from KDSegmentationLogic.commands.options import add_general
from KDSegmentationLogic.errors import Cancelled, UsageError

DONE, FAILED, BAD_USAGE = 0, 1, 2

_COMMANDS = (models, segment, compare, evaluate, export, study, data, demo)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    main_parser = argparse.ArgumentParser(
        prog="kdseg",
        description="Segment medical images with small distilled networks, and measure them.",
        epilog="'kdseg COMMAND --help' explains a command.",
    )
    main_parser.add_argument("--version", action="version", version=f"kdseg {__version__}")
    main_parser.set_defaults(quiet=False, json=False, debug=False)
    add_general(main_parser)
    subparsers = main_parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return main_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``kdseg`` with these arguments (default: the process') and return its exit status."""
    speak_utf8()
    try:
        args = parser().parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else BAD_USAGE
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, e.g. `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (KeyboardInterrupt, Cancelled):
        return _failed("Cancelled; what was finished is kept, nothing is half written.", args.debug)
    except UsageError as error:
        _failed(str(error), args.debug)
        return BAD_USAGE
    except Exception as error:
        return _failed(describe(error), args.debug)


def _failed(sentence: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"kdseg: {sentence}", file=sys.stderr)
    return FAILED
