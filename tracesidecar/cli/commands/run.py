"""`run`: follow and ship until stopped."""

from __future__ import annotations

import argparse
import os

from tracesidecar.collector import collector_paused
from tracesidecar.config import load


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare nothing: `run` has no arguments of its own."""


def execute(arguments: argparse.Namespace) -> int:
    """Run the daemon as a service."""
    loaded = load(arguments.config, os.environ)
    with collector_paused():
        from tracesidecar import daemon

    return daemon.run(loaded)
