"""The cut that most lines need: find the string around each hit, decode only that, leave the rest
of the line unread.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracesidecar.sanitize import patterns
from tracesidecar.sanitize.detect.confirm import is_paired
from tracesidecar.sanitize.edit.line_editor import LineEditor
from tracesidecar.sanitize.engine.interface import Hit
from tracesidecar.sanitize.prefilter.anchors import HitRole
from tracesidecar.sanitize.prefilter.token_prefixes import may_go_on
from tracesidecar.sanitize.rules.value_checks import KeyClass

_ESCAPED_QUOTES = 64
"""After so many escaped quotes backwards the walk is cheaper."""
_KEYWORDS = frozenset({HitRole.KEYWORD, HitRole.LOGIN})
_VALUES = frozenset({b"value", b"Value", b"val"})
"""Members that another member names."""
_BACKSLASH = 0x5C
_QUOTE = 0x22


class NeedsTreeWalk(Exception):
    """The place needs the whole tree: a pair, an argument list, a container or number under a
    sensitive key, a secret in pieces.
    """


def edit_near_hits(line: LineEditor, hits: Sequence[Hit], roles: Sequence[HitRole]) -> None:
    """Cut around each hit; raise NotPlain when the shape is not plain (the edits so far are then
    void).
    """
    done = 0
    for at, kind in hits:
        if at > done:
            if roles[kind] is HitRole.NUMERIC:
                raise NeedsTreeWalk
            done = _cut_at(line, at, roles[kind])


def _cut_at(line: LineEditor, at: int, role: HitRole) -> int:
    """Cut the string that the hit is about, and the value when it is a key; return how far the line
    is settled.
    """
    raw = line.raw
    start, end = _string_around(raw, at)
    if role in _KEYWORDS and is_paired(line.tools.keys, raw, 0, at):
        raise NeedsTreeWalk
    colon = patterns.COLON.match(raw, end)
    if colon is not None:
        return _cut_member(line, start, end, colon.end())
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
    line.edit_string(_decoded(raw, start, end), start, end, None)
    if (role is HitRole.SPLIT and len(line.edits) == count) or may_go_on(raw, start, end):
        raise NeedsTreeWalk
    return end


def _cut_member(line: LineEditor, start: int, end: int, value: int) -> int:
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
    if key == "kty":  # of a JSON Web Key; its private parts are siblings
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
    line.edit_string(_decoded(raw, value, match.end()), value, match.end(), key_class)
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
    """The unescaped quote before `last`."""
    start = raw.rfind(b'"', 0, last + 1)
    tries = 0
    while start > 0 and raw[start - 1] == _BACKSLASH:
        before = start - 1
        while before >= 0 and raw[before] == _BACKSLASH:
            before -= 1
        if (start - before) % 2:  # the backslashes escape each other
            break
        tries += 1
        if tries > _ESCAPED_QUOTES:
            raise NeedsTreeWalk
        start = raw.rfind(b'"', 0, start)
    if start <= 0:
        raise NeedsTreeWalk
    return start


def _decoded(raw: bytes, start: int, end: int) -> str:
    body = raw[start + 1 : end - 1]
    return body.decode() if b"\\" not in body else msgspec.json.decode(raw[start:end], type=str)
