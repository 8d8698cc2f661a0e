"""The exit codes of the program, which scripts and service managers rely on."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended. A process that a signal ends reports 128 + the signal's number."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 64
    QUARANTINED = 65
    LEFT_BEHIND = 75
    CONFIGURATION = 78
    INTERRUPTED = 130
    BROKEN_PIPE = 141
