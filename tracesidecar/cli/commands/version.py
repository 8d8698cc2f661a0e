"""`version`: which program this is."""

from __future__ import annotations

import argparse
import platform

from tracesidecar import __version__
from tracesidecar.cli.output import print_json, print_line
from tracesidecar.exit_codes import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def execute(arguments: argparse.Namespace) -> int:
    """Print the version."""
    if arguments.json:
        print_json(
            {
                "version": __version__,
                "python": platform.python_version(),
                "platform": platform.machine(),
            }
        )
    else:
        print_line(f"tracesidecar {__version__}")
    return ExitCode.DONE
