"""`config-schema`: the JSON Schema of the configuration."""

from __future__ import annotations

import argparse

from tracesidecar.cli.output import print_json
from tracesidecar.config import configuration_schema
from tracesidecar.exit_codes import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--json`, which every reading command has; here there is no other form."""
    parser.add_argument("--json", action="store_true", help="the default")


def execute(_arguments: argparse.Namespace) -> int:
    """Print the schema."""
    print_json(configuration_schema())
    return ExitCode.DONE
