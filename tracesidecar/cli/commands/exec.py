"""`exec -- CMD`: start an agent, ship while it runs, drain after it."""

from __future__ import annotations

import argparse
import os

from tracesidecar.cli.output import complain
from tracesidecar.collector import collector_paused
from tracesidecar.config import load
from tracesidecar.exit_codes import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of the agent; `--` separates its options from ours."""
    parser.usage = "tracesidecar exec [--config FILE] -- CMD [ARG…]"
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- CMD [ARG…]", help="the agent to start"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Run the daemon around the agent."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        complain("tracesidecar exec: no command is given; write: tracesidecar exec -- CMD [ARG…]")
        return ExitCode.USAGE
    loaded = load(arguments.config, os.environ)
    with collector_paused():
        from tracesidecar import daemon

    return daemon.exec_command(loaded, command, arguments.caller)
