"""JSON's short escapes undone in raw bytes, level by level."""

from __future__ import annotations

_SHORT = ((b"\\n", b"\n"), (b'\\"', b'"'), (b"\\t", b"\t"), (b"\\r", b"\r"), (b"\\/", b"/"))


def unescape(raw: bytes) -> bytes:
    r"""Undo one level; `\u` stays. NUL cannot stand in valid JSON, so it may keep a backslash's place meanwhile."""
    if b"\\" not in raw:
        return raw
    raw = raw.replace(b"\\\\", b"\0")
    for escape, byte in _SHORT:
        raw = raw.replace(escape, byte)
    return raw.replace(b"\0", b"\\")
