"""`redact`: stdin to stdout, one line each, by the rules of the configuration."""

from __future__ import annotations

import argparse
import os
import sys

from tracesidecar.cli.output import complain
from tracesidecar.config import load_to_read, rules_cache
from tracesidecar.introspect.chunks import chunks
from tracesidecar.sanitize import Sanitizer
from tracesidecar.units import Size

MAX_LINE = Size.parse("64MiB")


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """`redact` has no arguments of its own."""


def execute(arguments: argparse.Namespace) -> int:
    """Pass on what comes as it comes; say of each refused line its number and why."""
    sanitize = Sanitizer(
        load_to_read(arguments.config, os.environ).redaction,
        cache_directory=rules_cache(os.environ),
    )
    with open(
        sys.stdin.fileno(), "rb", buffering=0, closefd=False
    ) as stdin:  # unbuffered: a line is passed on when it comes
        for numbered in chunks("stdin", lambda length: stdin.read(length) or b"", MAX_LINE):
            clean = sanitize(numbered.chunk)
            sys.stdout.buffer.write(clean.data)
            sys.stdout.buffer.flush()
            for refusal in clean.rejected:
                complain(f"line {numbered.line_number(refusal)}: {refusal.reason}")
    return 0
