"""Compile one Hyperscan database in a child process.

The compiler leaves tens of MiB of heap behind, which a daemon would keep for good. The child reads
a job from standard input and writes the serialized database to standard output. What it makes
decides which secrets are seen, so it runs nothing that the current directory or the environment
could choose.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress

import hyperscan
import msgspec

import tracesidecar
from tracesidecar.isolation import python_command
from tracesidecar.sanitize.engine.interface import ScanPattern

_SECONDS = 120
_MODULE = "tracesidecar.sanitize.engine.compile_database"


class CompileJob(msgspec.Struct, frozen=True, array_like=True):
    """The patterns of one database and the flags that apply to each of them."""

    patterns: tuple[tuple[int, str], ...]
    flags: int


def compile_in_process(patterns: Sequence[ScanPattern], flags: int) -> hyperscan.Database:
    """Compile a database in this process."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[expression.encode() for _, expression in patterns],
        ids=[number for number, _ in patterns],
        elements=len(patterns),
        flags=[flags] * len(patterns),
    )
    return database


class Compilation:
    """A database that a child process is compiling."""

    def __init__(self, patterns: Sequence[ScanPattern], flags: int) -> None:
        """Start the child; if that fails, `dump` returns None."""
        self._process: subprocess.Popen[bytes] | None = None
        job = msgspec.json.encode(
            CompileJob(tuple((number, expression) for number, expression in patterns), flags)
        )
        with suppress(OSError), tempfile.TemporaryFile() as job_file:
            self._output = tempfile.TemporaryFile()  # noqa: SIM115 - read after the child has exited
            job_file.write(job)
            job_file.seek(0)
            self._process = subprocess.Popen(  # noqa: S603 - runs our own module
                python_command(_MODULE, (tracesidecar, hyperscan, msgspec)),
                stdin=job_file,
                stdout=self._output,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
            )

    def dump(self) -> bytes | None:
        """Wait for the child and return the serialized database, None if it could not make one."""
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
    """Compile the job on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=CompileJob)
    database = compile_in_process([ScanPattern(*each) for each in job.patterns], job.flags)
    sys.stdout.buffer.write(hyperscan.dumpb(database))
