"""The command line of a tool's call, as a text or as a list of words."""

from __future__ import annotations

import shlex

from tracesidecar.dialects.parsing.values import text

_MOST_WORDS = 10_000


def command_line(value: object) -> str | None:
    """Return a command line: agents write one as a text, or as a list of words."""
    if isinstance(value, list):
        return shlex.join(str(word) for word in value[:_MOST_WORDS]) or None
    return text(value)
