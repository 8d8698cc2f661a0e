"""Compiles one Hyperscan database in a process of its own: the compiler leaves tens of MiB behind,
which a daemon would keep for good.

`python -m tracesidecar.sanitize.engine.compile_database` reads a job from standard input and writes
the database to standard output.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress

import hyperscan
import msgspec

from tracesidecar.sanitize.engine.interface import ScanPattern

_SECONDS = 120
_MODULE = "tracesidecar.sanitize.engine.compile_database"


class CompileJob(msgspec.Struct, frozen=True, array_like=True):
    """Patterns, and the flags for each of them."""

    patterns: tuple[tuple[int, str], ...]
    flags: int


def compiled(patterns: Sequence[ScanPattern], flags: int) -> hyperscan.Database:
    """Compile here."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[expression.encode() for _, expression in patterns],
        ids=[number for number, _ in patterns],
        elements=len(patterns),
        flags=[flags] * len(patterns),
    )
    return database


class Compilation:
    """A database that a child process compiles meanwhile."""

    def __init__(self, patterns: Sequence[ScanPattern], flags: int) -> None:
        """Start the child."""
        self._process: subprocess.Popen[bytes] | None = None
        job = msgspec.json.encode(
            CompileJob(tuple((number, expression) for number, expression in patterns), flags)
        )
        with suppress(OSError), tempfile.TemporaryFile() as order:
            self._output = tempfile.TemporaryFile()  # noqa: SIM115 - read when the child is done
            order.write(job)
            order.seek(0)
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", _MODULE],
                stdin=order,
                stdout=self._output,
                stderr=subprocess.DEVNULL,
            )

    def dump(self) -> bytes | None:
        """Wait, and return the dump; None when no child could make it."""
        if self._process is None:
            return None
        with self._output as output:
            try:
                self._process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            output.seek(0)
            return (output.read() or None) if self._process.returncode == 0 else None


def main() -> None:
    """Do the job on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=CompileJob)
    database = compiled([ScanPattern(*each) for each in job.patterns], job.flags)
    sys.stdout.buffer.write(hyperscan.dumpb(database))


if __name__ == "__main__":
    main()
