"""Keep rows within what tables accept.

Long text is truncated, ids that are too long are hashed, and blobs become stubs. What later lines
carry of an earlier one is as short, or a line of 400 KB would come again in each row after it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import NamedTuple, get_args

import msgspec

from tracesidecar.dialects.columns import COLUMNS
from tracesidecar.dialects.event import Event
from tracesidecar.json_size import MOST_VALUES, has_too_many_values

TEXT_BYTES = 32 * 1024
"""The most that text, arguments and results may have (UTF-8)."""
SHORT_BYTES = 1024
"""The most that any other column may have (UTF-8), but for ids, `raw` and our own."""
ID_BYTES = 300
"""The most that an id may have (UTF-8): one that is the name of a file fits."""
RAW_BYTES = 512 * 1024
"""The most that a row keeps of its line.

Escaped in a row of JSON it is still below the 1 MiB that a row may have.
"""
BULK_BYTES = 4 * 1024
BLOCK = 1 << 20
_LONG = (
    "text",
    "tool_arguments",
    "tool_result",
    "error_message",
    "command",
    "file_path",
    "url",
)
_IDS = (
    "native_id",
    "parent_id",
    "trace_id",
    "conversation_id",
    "parent_conversation_id",
    "agent_id",
    "api_call_id",
    "tool_call_id",
    "user_id",
    "request_id",
    "parent_tool_call_id",
    "asset_id",
)
_OURS = (
    "event_id",
    "raw",
    "source_file",
    "labels",
    "event_time",
    "ingest_time",
    "host_name",
    "line_sha256",
    "processed_by",
)
_SHORT = tuple(
    column.name
    for column in COLUMNS
    if column.type == "string" and not column.values and column.name not in (*_LONG, *_IDS, *_OURS)
)
_read_ids = attrgetter(*_IDS)
_read_long = attrgetter(*_LONG)
_read_short = attrgetter(*_SHORT)
_CARRIED_TEXT = frozenset(
    ("cwd", "repository", "branch", "version", "program", "provider", "model")
)
"""Names of a state's fields that become no ids."""
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


def truncate_columns(event: Event, line_bytes: int) -> bool:
    """Truncate the columns of an event in place, and return whether any was.

    Its line has `line_bytes`. Ids that are too long are hashed, which does not count.
    """
    is_truncated = _shorten_columns(event, line_bytes)
    if line_bytes * 8 <= TEXT_BYTES:
        return is_truncated  # nothing grows as much, and what is carried is short
    for column, value in zip(_LONG, _read_long(event), strict=True):
        if (
            value is not None
            and len(value) * 4 > TEXT_BYTES
            and (truncated := truncate_value(value, TEXT_BYTES)) is not value
        ):
            setattr(event, column, truncated)
            is_truncated = True
    return is_truncated


def _shorten_columns(event: Event, line_bytes: int) -> bool:
    """Shorten ids and short columns in place, and return whether one of these was truncated.

    An id is the same in all rows, however long the line is that it is in. Only a line of more than
    `SHORT_BYTES` can have another column that is longer: what is carried is short already.
    """
    for value in _read_ids(event):
        if value is not None and len(value) * 4 > ID_BYTES:
            _shorten_ids(event)
            break
    # all together are seldom as long as one may be
    if (
        line_bytes <= SHORT_BYTES
        or len("".join(filter(None, _read_short(event)))) * 4 <= SHORT_BYTES
    ):
        return False
    is_truncated = False
    for column, value in zip(_SHORT, _read_short(event), strict=True):
        if value is not None and len(value) * 4 > SHORT_BYTES:
            truncated = truncate_text(value, SHORT_BYTES)
            is_truncated = is_truncated or truncated is not value
            setattr(event, column, truncated)
    return is_truncated


def _shorten_ids(event: Event) -> None:
    for column, value in zip(_IDS, _read_ids(event), strict=True):
        if value is not None:
            setattr(event, column, shorten_id(value))


def shorten_id(value: str, limit_bytes: int = ID_BYTES) -> str:
    """Return an id, or its beginning and a digest if it is too long."""
    if len(value) * 4 <= limit_bytes or _size(value) <= limit_bytes:
        return value
    digest = hashlib.sha256()
    for start in range(0, len(value), BLOCK):
        digest.update(value[start : start + BLOCK].encode())
    return f"{value[:48]}~{digest.hexdigest()[:32]}"


def shorten_state(state: msgspec.Struct, declared: type[msgspec.Struct]) -> None:
    """Shorten what a mapper carries from a long line to the next ones, in place.

    `declared` is the type of the state.

    All of it together may have as many characters as one column bytes, before any is shortened.
    What is kept by id is short already (`parsing.remember`).
    """
    kept = _find_kept(declared)
    if kept.texts and len("".join(filter(None, kept.read(state)))) > SHORT_BYTES:
        for name in kept.texts:
            value: object = getattr(state, name)
            if isinstance(value, str):
                shorten = truncate_text if name in _CARRIED_TEXT else shorten_id
                setattr(state, name, shorten(value, SHORT_BYTES))
    for name, kind in kept.structs.items():
        shorten_state(getattr(state, name), kind)


class _Kept(NamedTuple):
    """The fields of a state that are texts, what reads them, and those that have fields again."""

    texts: tuple[str, ...]
    read: Callable[[object], Iterable[str | None]]
    structs: Mapping[str, type[msgspec.Struct]]


@cache
def _find_kept(state: type[msgspec.Struct]) -> _Kept:
    texts: list[str] = []
    structs: dict[str, type[msgspec.Struct]] = {}
    for field in msgspec.structs.fields(state):
        kind = field.type
        if kind is str or (isinstance(kind, UnionType) and str in get_args(kind)):
            texts.append(field.name)
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            structs[field.name] = kind
    # a getter of one name would return no tuple
    read = attrgetter(*texts, texts[0]) if texts else _read_nothing
    return _Kept(tuple(texts), read, structs)


def _read_nothing(_state: object) -> Iterable[str | None]:
    return ()


def truncate_text(text: str, limit_bytes: int) -> str:
    """Return the text, or its beginning within a limit and how much is missing.

    The mark is `…[truncated <n> bytes]`, after at most `limit_bytes` of UTF-8.
    """
    size = _size(text)
    if size <= limit_bytes:
        return text
    kept = text[:limit_bytes].encode()[:limit_bytes].decode("utf-8", "ignore")
    return f"{kept}…[truncated {size - len(kept.encode())} bytes]"


def truncate_value(value: str, limit_bytes: int) -> str:
    """Return a text as `truncate_text` does, but JSON as JSON.

    Of an object or array the longest texts are truncated, shorter and shorter; what is still too
    long becomes a stub.
    """
    if value[:1] not in ("{", "[") or _size(value) <= limit_bytes:
        return truncate_text(value, limit_bytes)
    content = value.encode()
    if len(content) > MOST_VALUES and has_too_many_values(content):
        return stub("application/json", content).decode()
    try:
        tree = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return truncate_text(value, limit_bytes)
    for limit in (limit_bytes // 2, *(each for each in _LEAF_LIMITS if each < limit_bytes // 2)):
        shortened = msgspec.json.encode(_truncate_strings(tree, limit))
        if len(shortened) <= limit_bytes:
            return shortened.decode()
    return stub("application/json", content).decode()


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
    if len(line) > MOST_VALUES and has_too_many_values(line):
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
