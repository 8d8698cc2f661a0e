"""`ship --once`: ship everything that is there now, then exit."""

from __future__ import annotations

import argparse
import os

from tracesidecar.cli.output import print_bytes
from tracesidecar.collector import collector_paused
from tracesidecar.config import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--once`, which is required: the service is started with `run`."""
    parser.add_argument(
        "--once", action="store_true", required=True, help="ship what is there now, then exit"
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 65 if lines were quarantined"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the outcome as one JSON document"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Run the daemon once."""
    loaded = load(arguments.config, os.environ)
    with collector_paused():
        from tracesidecar import daemon

    return daemon.ship_once(
        loaded, strict=arguments.strict, print_outcome=print_bytes if arguments.json else None
    )
