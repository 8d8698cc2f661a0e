"""`run`: follow and ship until told to stop."""

from __future__ import annotations

import argparse
import os

from tracesidecar.config import load


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """`run` has no arguments of its own."""


def execute(arguments: argparse.Namespace) -> int:
    """Load the configuration and hand over to the daemon."""
    loaded = load(arguments.config, os.environ)
    from tracesidecar import daemon

    return daemon.run(loaded)
