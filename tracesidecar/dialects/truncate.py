"""Keep rows within what tables accept: long text is truncated, and blobs become stubs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence

import msgspec

from tracesidecar.dialects.event import Event
from tracesidecar.json_size import has_too_many_values

TEXT_BYTES = 32 * 1024
"""The most that text, arguments and results may have (UTF-8)."""
RAW_BYTES = 512 * 1024
"""The most that a row keeps of its line.

Escaped in a row of JSON it is still below the 1 MiB that a row may have.
"""
BULK_BYTES = 4 * 1024
BLOCK = 1 << 20
_LEAF_LIMITS = (64 * 1024, 16 * 1024, 4 * 1024, 1024, 128)
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')

_BLOB = re.compile(
    rb'"(?:data:([a-zA-Z0-9.+/-]{3,80})(?:;[a-zA-Z0-9=._-]{1,40}){0,3};base64,)?([A-Za-z0-9+/]{1024,}={0,2})"'
)
_MAGIC = {
    b"iVBORw0KGgo": "image/png",
    b"/9j/": "image/jpeg",
    b"R0lGOD": "image/gif",
    b"UklGR": "image/webp",
    b"JVBERi0": "application/pdf",
    b"Qk0": "image/bmp",
    b"UEsDB": "application/zip",
}


def truncate_columns(event: Event) -> bool:
    """Truncate the long columns of an event in place, and return whether any was."""
    is_truncated = False
    for column in ("text", "tool_arguments", "tool_result", "error_message"):
        value: str | None = getattr(event, column)
        if (
            value is not None
            and len(value) * 4 > TEXT_BYTES
            and (truncated := truncate_text(value, TEXT_BYTES)) is not value
        ):
            setattr(event, column, truncated)
            is_truncated = True
    return is_truncated


def truncate_text(text: str, limit_bytes: int) -> str:
    """Return the text, or its beginning within a limit and how much is missing.

    The mark is `…[truncated <n> bytes]`, after at most `limit_bytes` of UTF-8.
    """
    size = _size(text)
    if size <= limit_bytes:
        return text
    kept = text[:limit_bytes].encode()[:limit_bytes].decode("utf-8", "ignore")
    return f"{kept}…[truncated {size - len(kept.encode())} bytes]"


def _size(text: str) -> int:
    """Return the bytes of UTF-8 without copying a text that may be as long as a line."""
    return (
        len(text)
        if text.isascii()
        else sum(len(text[start : start + BLOCK].encode()) for start in range(0, len(text), BLOCK))
    )


def raw_column(line: bytes, bulky: Sequence[tuple[str, ...]]) -> tuple[str, bool]:
    """Return the line as the `raw` column has it, and whether it was shortened.

    `bulky` are paths of keys whose values are replaced by a stub if they are big.
    """
    if len(line) <= BULK_BYTES:
        return line.decode(), False
    if has_too_many_values(line):
        return stub("application/json", line).decode(), True
    kept = _replace_blobs(line)
    for path in bulky:
        if path[-1].encode() in kept:
            kept = _replace_with_stub(kept, path)
    if len(kept) > RAW_BYTES:
        return _shrink_to_fit(kept), True
    return kept.decode(), kept is not line


def stub(media_type: str, content: bytes) -> bytes:
    """Return what replaces a big value: `{"omitted":…,"bytes":n,"sha256":…}`."""
    return b'{"omitted":"%s","bytes":%d,"sha256":"%s"}' % (
        media_type.encode(),
        len(content),
        hashlib.sha256(content).hexdigest().encode(),
    )


def _replace_blobs(line: bytes) -> bytes:
    if b"/" not in line:
        return line
    return _BLOB.sub(_blob_stub, line) if _BLOB.search(line) else line


def _blob_stub(match: re.Match[bytes]) -> bytes:
    """Return a stub for what is marked as a picture or a document.

    Signatures and encrypted reasoning look alike, and stay byte for byte.
    """
    named, encoded = match.groups()
    media_type = (
        named.decode()
        if named
        else next((kind for magic, kind in _MAGIC.items() if encoded.startswith(magic)), None)
    )
    if media_type is None:
        return match[0]
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        content = encoded
    return stub(media_type, content)


def _replace_with_stub(line: bytes, path: tuple[str, ...]) -> bytes:
    """Replace the value at a path of keys if it is big.

    A line that has no object there is returned as it is.
    """
    try:
        members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return line
    value = members.get(path[0])
    if value is None or len(bytes(value)) <= BULK_BYTES:
        return line
    content = bytes(value)
    members[path[0]] = msgspec.Raw(
        _replace_with_stub(content, path[1:])
        if len(path) > 1
        else stub("application/json", content)
    )
    return msgspec.json.encode(members)


def _shrink_to_fit(line: bytes) -> str:
    """Truncate the longest texts of a line, shorter and shorter until it fits.

    Returns a stub for the whole line if nothing helps.
    """
    try:
        value = msgspec.json.decode(line)
    except (
        msgspec.DecodeError,
        RecursionError,
    ):  # valid JSON, but with a number that no double holds, or nested too deep
        return stub("application/json", line).decode()
    whole = msgspec.json.encode(value)
    longest = [size for size in map(len, _STRING.findall(whole)) if size > _LEAF_LIMITS[-1]]
    for limit in _LEAF_LIMITS:
        # a truncated text keeps its limit, less a part of a character: often that is too much, and
        # a pass over a large tree takes long
        if len(whole) - sum(max(0, size - limit + 4) for size in longest) > RAW_BYTES:
            continue
        content = msgspec.json.encode(_truncate_strings(value, limit))
        if len(content) <= RAW_BYTES:
            return content.decode()
    return stub("application/json", line).decode()


def _truncate_strings(value: object, limit: int) -> object:
    if isinstance(value, str):
        return truncate_text(value, limit) if len(value) * 4 > limit else value
    if isinstance(value, list):
        return [_truncate_strings(item, limit) for item in value]
    if isinstance(value, dict):
        return {key: _truncate_strings(item, limit) for key, item in value.items()}
    return value
