"""The exit codes that scripts rely on."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """128+n stands for an end by signal n."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 64
    QUARANTINED = 65
    LEFT_BEHIND = 75
    CONFIGURATION = 78
    INTERRUPTED = 130
    BROKEN_PIPE = 141
