"""Fix the mistakes of known producers that a source may ask to repair.

NaN and lone surrogates are replaced. Whole records are taken out of a line that also has something
else: a record that was torn off when its writer died, or the NUL bytes of a power cut. Nothing else
is ever repaired.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tracesidecar.json_documents import JsonValue, read_value
from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.rejections import RejectionReason

_FILLER = re.compile(rb"[\0 \t\r\n]*")
_LITERAL_BYTES = 5
"""How far behind the reported place a torn `true`, `false` or `null` may end."""
_MOST_PARTS = 1000
"""A line of more parts than this is no line with a torn record in it."""


class LinePart(NamedTuple):
    """The bytes [start, end) of a line: a whole record, or else rejected for a reason."""

    start: int
    end: int
    reason: RejectionReason | None


def without_nan(line: bytes) -> bytes:
    """Replace NaN, Infinity and -Infinity outside strings by null."""
    return patterns.NOT_A_NUMBER.sub(lambda match: match.group(1) or b"null", line)


def without_lone_surrogates(line: bytes) -> bytes:
    r"""Replace each surrogate escape that has no partner by `\ufffd`."""
    return patterns.SURROGATE.sub(_pair_or_replace, line)


def repair_line(line: bytes) -> bytes:
    """Fix both in the line."""
    return without_lone_surrogates(without_nan(line))


def _pair_or_replace(match: re.Match[bytes]) -> bytes:
    escape = match.group(0)
    return (
        rb"\ufffd" if len(escape) == 6 and escape[2:3] in b"dD" and escape[1:2] == b"u" else escape
    )


def split_records(line: bytes) -> list[LinePart]:
    """Return the parts of a line that is not one record, in order; none if no record is found.

    It may also be a faulty document of several lines.

    A record is a JSON object. One that stands behind a torn record is recognized where the grammar
    of the torn one breaks: an object that could belong to it is never taken for a record of its
    own. So a record that was torn off right before a value takes the next one along.
    """
    parts: list[LinePart] = []
    rest = start = broken_at = 0
    while start < len(line) and len(parts) < _MOST_PARTS:
        start = _skip(line, start)
        value = read_value(line, start)
        if value.end > broken_at and _is_record(line, start, value):
            parts += [*_rest(line, rest, start), LinePart(start, value.end, None)]
            rest = start = broken_at = value.end
            continue
        # An object within the torn record breaks where that does; a record goes on beyond it.
        following = _find_next_record(line, start, value.end) if value.end > broken_at else None
        if following is None:
            break
        parts += _rest(line, rest, following)
        rest, start, broken_at = following, following, value.end
    parts += _rest(line, rest, len(line))
    return parts if any(part.reason is None for part in parts) else []


def _is_record(line: bytes, start: int, value: JsonValue) -> bool:
    if not value.is_whole or not line.startswith(b"{", start):
        return False
    try:
        str(memoryview(line)[start : value.end], "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _find_next_record(line: bytes, start: int, broken_at: int) -> int | None:
    """Return where the record begins that breaks the torn one at `start`, None if none does.

    Mostly the quotation mark of its first key ends an open string of the torn record, so that it
    begins a few bytes before the error.
    """
    if broken_at >= len(line):
        return None
    if line[broken_at] == 0:
        following = _skip(line, broken_at)
        return following if line.startswith(b"{", following) else None
    before = line.rfind(b"{", start + 1, broken_at + 1)
    if before >= 0:
        return before
    after = line.find(b"{", broken_at, broken_at + _LITERAL_BYTES)
    return after if after >= 0 and line[broken_at:after].isalpha() else None


def _rest(line: bytes, start: int, end: int) -> list[LinePart]:
    """Return the rejected part between two records, if there is anything."""
    part = line[start:end]
    if not part.strip(b" \t\r\n"):
        return []
    is_nul = not part.strip(b"\0 \t\r\n")
    return [LinePart(start, end, RejectionReason.NUL if is_nul else RejectionReason.TRUNCATED)]


def _skip(line: bytes, position: int) -> int:
    """Return where the next byte is that is neither NUL nor blank."""
    found = _FILLER.match(line, position)
    return found.end() if found else position
