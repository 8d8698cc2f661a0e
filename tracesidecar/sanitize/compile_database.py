"""Compiles one Hyperscan database in a process of its own: the compiler leaves tens of MiB behind, which a daemon would keep for good.

`python -m tracesidecar.sanitize.compile_database` reads a job from standard input and writes the database to standard output.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import hyperscan
import msgspec

from tracesidecar.sanitize.scanning import Pattern

_SECONDS = 120
_MODULE = "tracesidecar.sanitize.compile_database"


class Job(msgspec.Struct, frozen=True, array_like=True):
    """Patterns, and the flags for each of them."""

    patterns: tuple[tuple[int, str], ...]
    flags: int


def compiled(patterns: Sequence[Pattern], flags: int) -> hyperscan.Database:
    """Compile here."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[expression.encode() for _, expression in patterns],
        ids=[number for number, _ in patterns],
        elements=len(patterns),
        flags=[flags] * len(patterns),
    )
    return database


def compiled_elsewhere(patterns: Sequence[Pattern], flags: int) -> bytes | None:
    """Compile in a child and return the dump; None when no child could do it."""
    job = msgspec.json.encode(Job(tuple((number, expression) for number, expression in patterns), flags))
    command = [sys.executable, "-m", _MODULE]
    try:
        done = subprocess.run(command, input=job, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_SECONDS, check=True)  # noqa: S603 - our own module
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout or None


def main() -> None:
    """Do the job on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    database = compiled([Pattern(*each) for each in job.patterns], job.flags)
    sys.stdout.buffer.write(hyperscan.dumpb(database))


if __name__ == "__main__":
    main()
