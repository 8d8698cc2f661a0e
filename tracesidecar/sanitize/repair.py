"""Fix the two mistakes of known producers that a source may ask to repair: NaN and lone surrogates.

Nothing else is ever repaired.
"""

from __future__ import annotations

import re

from tracesidecar.sanitize import patterns


def without_nan(line: bytes) -> bytes:
    """Replace NaN, Infinity and -Infinity outside strings by null."""
    return patterns.NOT_A_NUMBER.sub(lambda match: match.group(1) or b"null", line)


def without_lone_surrogates(line: bytes) -> bytes:
    r"""Replace each surrogate escape that has no partner by `\ufffd`."""
    return patterns.SURROGATE.sub(_paired_or_replaced, line)


def repair_line(line: bytes) -> bytes:
    """Fix both in the line."""
    return without_lone_surrogates(without_nan(line))


def _paired_or_replaced(match: re.Match[bytes]) -> bytes:
    escape = match.group(0)
    return (
        rb"\ufffd" if len(escape) == 6 and escape[2:3] in b"dD" and escape[1:2] == b"u" else escape
    )
