"""`redact`: redact stdin to stdout, line by line, by the rules of the configuration."""

from __future__ import annotations

import argparse
import os
import sys

from tracesidecar.cli.output import complain, print_bytes
from tracesidecar.config import load_to_read, rules_cache
from tracesidecar.exit_codes import ExitCode
from tracesidecar.introspect.chunks import read_chunks
from tracesidecar.sanitize.sanitizer import Sanitizer
from tracesidecar.tail import MAX_LINE


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare nothing: `redact` has no arguments of its own."""


def execute(arguments: argparse.Namespace) -> int:
    """Write each line as soon as it is read; report the number and reason of each rejected line."""
    sanitize = Sanitizer(
        load_to_read(arguments.config, os.environ).redaction,
        cache_directory=rules_cache(os.environ),
    )
    if sanitize.cache_trouble:
        complain(f"tracesidecar redact: {sanitize.cache_trouble}: the rules are compiled again")
    # without a buffer, so that a line is written as soon as it is read
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stdin:
        for numbered in read_chunks("stdin", lambda length: stdin.read(length) or b"", MAX_LINE):
            clean = sanitize(numbered.chunk)
            print_bytes(clean.data)
            for rejection in clean.rejected:
                complain(f"line {numbered.line_number(rejection)}: {rejection.reason}")
    return ExitCode.DONE
