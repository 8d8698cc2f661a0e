"""Ids of events, and of files that begin alike: the same on any host, whenever they are read."""

from __future__ import annotations

import hashlib
import struct

from tracesidecar.dialects.event import IDS_BY_PLACE, Event
from tracesidecar.dialects.file_name import FileName
from tracesidecar.dialects.state import FileState
from tracesidecar.redaction_marker import MARKER_START

REVISED = 128
"""How many messages that may be written again are remembered of a file: the latest ones."""
_FILTER_BYTES = 2048
_unpack_bits = struct.Struct("<2H4x").unpack
"""Two bits of a key, which is the beginning of a digest: each a byte of the filter, by the upper 11
of 16 bits, and a bit in it, by the lower 3.
"""

Ordinals = dict[tuple[str | None, str], int]
"""How many events of a line have the same native id and kind, by these."""


class EventIds:
    """Makes the ids of a file's events.

    An id follows from the line's own id. If there is none, it follows from the line's content and
    position, and from what distinguishes its file from others.
    """

    def __init__(self, file: FileState, source: str, dialect: str, *, is_revised: bool) -> None:
        """`is_revised`: the dialect's messages may be written again with more in them."""
        self._file = file
        self._dialect = dialect
        self._is_revised = is_revised
        family = file.name.family
        self._origin = _join(source, dialect)
        self._place = self._origin + _join(
            file.folder, family, str(file.generation), file.first.hex()
        )

    def make(
        self, event: Event, ordinals: Ordinals, offset: int, digest: str, *, is_named: bool
    ) -> str:
        """Return the id of an event.

        `ordinals` are those of its line, which is at this offset and has this SHA-256. `is_named`:
        a line names the conversation. What only a path says may be said by another one, so there
        the event's own id belongs to the file. Ids that were redacted may have been different.
        """
        sub = (
            event.tool_call_id
            if event.tool_call_id and event.event_kind in ("tool_call", "tool_result")
            else ""
        )
        same = event.native_id, f"{event.event_kind} {sub}"
        ordinal = ordinals[same] = ordinals.get(same, -1) + 1
        file = self._file
        if file.schema < IDS_BY_PLACE:
            return _id_of_version_1(
                self._dialect, event, (same[1], str(ordinal)), (file.first.hex(), str(offset))
            )
        number = str(ordinal)
        if event.native_id is None or MARKER_START in event.native_id:
            return _make_id(self._place + _join(str(offset), digest, same[1], number))
        within = self._place
        conversation = event.conversation_id or ""
        if is_named and MARKER_START not in conversation:
            within = self._origin + _join(conversation)
        parts = within + _join(event.native_id, same[1], number)
        found = _make_id(parts)
        revision = self._revision(found, digest, offset, event) if self._is_revised else 0
        return _make_id(parts + _join(str(revision))) if revision else found

    def _revision(self, event_id: str, digest: str, offset: int, event: Event) -> int:
        """Return the number of this version of a message, which no other version of it has.

        It is how many lines the message had before. If these were forgotten, it is the offset:
        there were fewer lines than bytes.
        """
        file = self._file
        key, content = bytes.fromhex(event_id[:16]), bytes.fromhex(digest[:16])
        before = file.revisions.pop(key, None)
        if before is not None:
            revision = before[1] + (before[0] != content)
        else:
            is_forgotten = bool(file.forgotten) and _is_in_filter(file.forgotten, key)
            revision = offset if is_forgotten else 1 if event.supersedes else 0
            if len(file.revisions) >= REVISED:
                oldest = next(iter(file.revisions))
                del file.revisions[oldest]
                _add_to_filter(file.forgotten, oldest)
        file.revisions[key] = content, revision
        return revision


def _is_in_filter(bits: bytearray, key: bytes) -> bool:
    """Return whether a key may have been added; one that was added always is."""
    one, other = _unpack_bits(key)
    return bool(bits[one >> 5] >> (one & 7) & bits[other >> 5] >> (other & 7) & 1)


def _add_to_filter(bits: bytearray, key: bytes) -> None:
    if not bits:
        bits.extend(bytes(_FILTER_BYTES))
    one, other = _unpack_bits(key)
    bits[one >> 5] |= 1 << (one & 7)
    bits[other >> 5] |= 1 << (other & 7)


def digest_file(name: FileName, source: str, first: bytes) -> bytes:
    """Return what the files of a name have in common that begin with the same line.

    `source` is the id of their source, `first` the digest of that line.
    """
    return bytes.fromhex(_make_id(_join(source, name.folder, name.family, first.hex())))


def _join(*parts: str) -> str:
    """Return the parts of an id as one text; their lengths keep them apart."""
    return "".join([f"{len(part)}:{part}" for part in parts])


def _make_id(parts: str) -> str:
    """Return the id that follows from parts that were joined."""
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _id_of_version_1(
    dialect: str, event: Event, part: tuple[str, str], place: tuple[str, str]
) -> str:
    """Return the id that version 1 of the schema gave to an event.

    `part` is which of the line's events it is, `place` the file's first line and the offset.
    """
    parts = [dialect, event.conversation_id or "", event.native_id or "", *part]
    if event.native_id is None:
        parts += [*place, event.line_sha256 or ""]
    elif event.supersedes:
        parts.append(event.line_sha256 or "")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
