"""Decode the JSON escapes in raw bytes, and map offsets across them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable

from tracesidecar.sanitize import patterns

_CHARACTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}
_SHORT = ((b"\\n", b"\n"), (b'\\"', b'"'), (b"\\t", b"\t"), (b"\\r", b"\r"), (b"\\/", b"/"))


def unescape(raw: bytes) -> bytes:
    r"""Decode one level of the short escapes; `\u` stays.

    NUL cannot occur in valid JSON, so it can stand in for a backslash in between.
    """
    if b"\\" not in raw:
        return raw
    raw = raw.replace(b"\\\\", b"\0")
    for escape, byte in _SHORT:
        raw = raw.replace(escape, byte)
    return raw.replace(b"\0", b"\\")


def decode_escapes(body: bytes) -> bytes:
    """Decode one level of all escapes, each to exactly the size that `raw_offsets` counts.

    An escape that JSON does not know becomes its character.
    """
    return patterns.ESCAPE.sub(_decode, body) if b"\\" in body else body


def raw_offsets(body: bytes) -> Callable[[int], int]:
    """Return a map from offsets in a decoded string (UTF-8 bytes) to offsets in its raw body."""
    if b"\\" not in body:
        return int
    decoded_ends, raw_ends, shift = [0], [0], 0
    for escape in patterns.ESCAPE.finditer(body):
        shift += len(escape.group(0)) - _measure_decoded(escape.group(0))
        decoded_ends.append(escape.end() - shift)
        raw_ends.append(escape.end())

    def to_raw(offset: int) -> int:
        at = bisect_right(decoded_ends, offset) - 1
        return raw_ends[at] + offset - decoded_ends[at]

    return to_raw


def _decode(match: re.Match[bytes]) -> bytes:
    escape = match.group(0)
    if len(escape) == 2:
        return _CHARACTERS.get(escape[1:], escape[1:])
    text = (
        bytes.fromhex(escape.replace(b"\\u", b"").decode())
        .decode("utf-16-be", "surrogatepass")
        .encode("utf-8", "surrogatepass")
    )
    return text.ljust(_measure_decoded(escape))[: _measure_decoded(escape)]


def _measure_decoded(escape: bytes) -> int:
    if len(escape) == 2:
        return 1
    if len(escape) == 12:
        return 4  # a surrogate pair
    code = int.from_bytes(bytes.fromhex(escape[2:].decode()), "big")
    return 1 if code < 0x80 else 2 if code < 0x800 else 3
