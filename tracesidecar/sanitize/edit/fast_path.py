"""The edit that most lines need: find the string around each hit and decode only that.

The rest of the line is not parsed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.detect import is_paired
from tracesidecar.sanitize.edit.line_editor import LineEditor
from tracesidecar.sanitize.engine import Hit
from tracesidecar.sanitize.prefilter import HitRole, may_continue
from tracesidecar.sanitize.rules import KeyClass

_ESCAPED_QUOTES = 64
"""After searching backwards over this many escaped quotes, a tree walk is cheaper."""
_KEYWORDS = frozenset({HitRole.KEYWORD, HitRole.LOGIN})
_VALUES = frozenset(each.encode() for each in patterns.PAIR_VALUES)
_BACKSLASH = 0x5C
_QUOTE = 0x22


class NeedsTreeWalk(Exception):
    """The line must be parsed as a whole.

    Its secret is in a pair or an argument list, in a container or number under a sensitive key, or
    is split over several strings.
    """


def edit_near_hits(line: LineEditor, hits: Sequence[Hit], roles: Sequence[HitRole]) -> None:
    """Edit the string around each hit.

    Raise NeedsTreeWalk if the line has a shape that only the tree shows; the edits made so far must
    then be discarded.
    """
    if any(roles[kind] is HitRole.COMMAND for _, kind in hits):
        raise NeedsTreeWalk  # what the command printed is in another string
    done = 0
    for at, kind in hits:
        if at > done:
            if roles[kind] is HitRole.NUMERIC:
                raise NeedsTreeWalk
            done = _edit_at(line, at, roles[kind])


def _edit_at(line: LineEditor, at: int, role: HitRole) -> int:
    """Edit the string that the hit is about, and the value if that string is a key.

    Return the offset up to which the line needs no further look.
    """
    raw = line.raw
    start, end = _string_around(raw, at)
    if role in _KEYWORDS and is_paired(line.tools.keys, raw, 0, at):
        raise NeedsTreeWalk
    colon = patterns.COLON.match(raw, end)
    if colon is not None:
        return _edit_member(line, start, end, colon.end())
    before = patterns.PLAIN_KEY_BEFORE.search(raw, max(0, start - 96), start)
    if before is None:
        if raw[start - 1 : start] not in {b"[", b","} and raw[
            max(0, start - 2) : start - 1
        ] not in {b"[", b","}:
            raise NeedsTreeWalk
    elif (
        before.group(1) in _VALUES or line.tools.keys.classify(before.group(1).decode()) is not None
    ):
        raise NeedsTreeWalk
    count = len(line.edits)
    line.edit_string(_decode(raw, start, end), start, end, None)
    if (role is HitRole.SPLIT and len(line.edits) == count) or may_continue(raw, start, end):
        raise NeedsTreeWalk
    return end


def _edit_member(line: LineEditor, start: int, end: int, value: int) -> int:
    raw = line.raw
    name = raw[start + 1 : end - 1]
    if b"\\" in name or not name.isascii():
        raise NeedsTreeWalk
    key = name.decode()
    count = len(line.edits)
    line.edit_string(key, start, end, None)
    if len(line.edits) > count:
        raise NeedsTreeWalk
    key_class = line.tools.keys.classify(key)
    if key_class is not None and key in patterns.PAIR_NAMES:
        raise NeedsTreeWalk
    if key == "kty":  # a JSON Web Key has its private parts in the same object
        raise NeedsTreeWalk
    if key_class is None:
        return end
    if raw[value] != _QUOTE or key == "token":
        is_number = raw[value] in b"-0123456789"
        if raw[value] in b"tfn" or (
            is_number and not (key_class is KeyClass.STRONG and line.tools.keys.is_numeric(key))
        ):
            return end
        raise NeedsTreeWalk
    match = patterns.STRING.match(raw, value)
    if match is None:
        raise NeedsTreeWalk
    line.edit_string(_decode(raw, value, match.end()), value, match.end(), key_class)
    return match.end()


def _string_around(raw: bytes, at: int) -> tuple[int, int]:
    last = at - 1
    while last > 0 and raw[last] in b'": \t':
        last -= 1
    start = _opening_quote(raw, last)
    match = patterns.STRING.match(raw, start)
    if (
        match is None
        or match.end() <= last
        or patterns.BEFORE_STRING.search(raw, max(0, start - 8), start) is None
    ):
        raise NeedsTreeWalk
    return start, match.end()


def _opening_quote(raw: bytes, last: int) -> int:
    """Return the offset of the last unescaped quote at or before `last`."""
    start = raw.rfind(b'"', 0, last + 1)
    tries = 0
    while start > 0 and raw[start - 1] == _BACKSLASH:
        before = start - 1
        while before >= 0 and raw[before] == _BACKSLASH:
            before -= 1
        if (start - before) % 2:  # an even number of backslashes: they escape each other
            break
        tries += 1
        if tries > _ESCAPED_QUOTES:
            raise NeedsTreeWalk
        start = raw.rfind(b'"', 0, start)
    if start <= 0:
        raise NeedsTreeWalk
    return start


def _decode(raw: bytes, start: int, end: int) -> str:
    body = raw[start + 1 : end - 1]
    return body.decode() if b"\\" not in body else msgspec.json.decode(raw[start:end], type=str)
