"""The events of clean chunks: interpreted once for all sinks that go side by side."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from tracesidecar.dialects import (
    IDS_BY_PLACE,
    SCHEMA_VERSION,
    DialectEvent,
    Interpreter,
    UnreadableState,
    decode_state,
)
from tracesidecar.model import CHUNK_BYTES, Checkpoint, CleanChunk
from tracesidecar.pipeline.chunk_reader import ChunkReader
from tracesidecar.pipeline.file_identities import FileIdentities
from tracesidecar.pipeline.path_labels import PathLabels
from tracesidecar.tail.tailer import Tailer

log = structlog.get_logger()

EVENTS_PER_BYTE = 3
"""About how much more memory the events of a chunk take than its lines."""
EVENT_BYTES = 1024
"""How much memory an event takes at least, however short its line is."""

Interpretation = tuple[list[DialectEvent], bytes]
"""The events of a chunk, and the interpreter's state after it."""


_Key = tuple[int, int, int, int, bytes]
"""Segment, start, end, version of the schema, and state."""


COUNTED_BYTES = 64 << 20
"""How much of a file is searched for newlines before others have their turn."""
_FEW_COUNTS = 64
"""So many files may have their lines counted before the first chunk is there that needs it."""


class _LineCount(NamedTuple):
    """The state at an offset up to which the lines of a segment were counted."""

    offset: int
    schema: int
    state: bytes


class EventCache:
    """Interprets clean chunks, with a cache that is bounded in bytes."""

    def __init__(
        self,
        tailer: Tailer,
        chunks: ChunkReader,
        labels: PathLabels,
        identities: FileIdentities,
        interpreters: Mapping[str, Interpreter],
        *,
        cache_bytes: int,
    ) -> None:
        """`interpreters` are by source."""
        self._tailer = tailer
        self._chunks = chunks
        self._labels = labels
        self._identities = identities
        self._interpreters = interpreters
        self._limit = cache_bytes
        self._cache: OrderedDict[_Key, Interpretation] = OrderedDict()
        self._cached_bytes = 0
        self._counting: dict[int, _LineCount] = {}
        self._counted: OrderedDict[int, _LineCount] = OrderedDict()
        self._has_warned = False

    @property
    def cached_bytes(self) -> int:
        """About how much memory the cache takes."""
        return self._cached_bytes

    def interpret(
        self, clean: CleanChunk, state: bytes, *, schema: int = SCHEMA_VERSION
    ) -> Interpretation:
        """Return the events of a chunk; `state` is what the checkpoint before it has.

        The events are shared by all callers and must not be changed. `schema` is the version whose
        ids they get: an earlier one for a batch that was planned with it.
        """
        key = clean.segment.id, clean.start, clean.end, schema, state
        found = self._cache.get(key)
        if found is None:
            found = self._interpret(clean, state, schema)
            self._remember(key, found)
        return found

    def state_at(self, segment: int, offset: int, schema: int = SCHEMA_VERSION) -> bytes:
        """Return the state for a reader that begins in the middle of a file.

        It has what the file's first lines say, and the number of lines before the offset.
        """
        while not self._count(segment, offset, schema):
            pass
        return self._counted[segment].state

    def prepare(self, segment: int, at: Checkpoint) -> bool:
        """Return whether the events from a checkpoint on can be made at once.

        If not, the lines before it are being counted, and it has to be asked again.
        """
        if at.state or at.offset <= COUNTED_BYTES:
            return True
        return self._count(segment, at.offset, SCHEMA_VERSION)

    def _count(self, segment: int, offset: int, schema: int) -> bool:
        """Count some more lines before an offset; return whether all of them are counted."""
        known = self._counting.pop(segment, None) or self._counted.pop(segment, None)
        is_new = known is None or known.schema != schema or not known.state
        if known is None or is_new or not CHUNK_BYTES <= known.offset <= offset:
            first = self._chunks.peek(segment, offset)
            if first is None:
                if self._chunks.is_measuring(segment, 0):
                    return False
                return self._note_counted(segment, _LineCount(offset, schema, b""))
            _, state = self._run(first, None, schema)
            known = _LineCount(first.end, schema, state)
        if known.offset == offset:
            return self._note_counted(segment, known)
        found = self._tailer.count_newlines(segment, known.offset, offset, COUNTED_BYTES)
        count, reached = found or (0, offset)
        file = decode_state(known.state)
        file.lines += count
        known = _LineCount(reached, schema, file.encode())
        if reached == offset:
            return self._note_counted(segment, known)
        self._counting[segment] = known
        return False

    def _note_counted(self, segment: int, known: _LineCount) -> bool:
        self._counted[segment] = known
        while len(self._counted) > _FEW_COUNTS:
            self._counted.popitem(last=False)
        return True

    def _interpret(self, clean: CleanChunk, state: bytes, schema: int) -> Interpretation:
        if not clean.start:
            return self._run(clean, None, schema)
        try:
            known = state or self.state_at(clean.segment.id, clean.start, schema)
            return self._run(clean, known or None, schema)
        except UnreadableState as error:
            if not self._has_warned:
                self._has_warned = True
                log.warning(
                    "state.unreadable",
                    path=self._label(clean),
                    problem=str(error),
                    remedy="none needed: files go on by what their first lines say",
                )
            known = self.state_at(clean.segment.id, clean.start, schema)
            return self._run(clean, known or None, schema)

    def _run(self, clean: CleanChunk, state: bytes | None, schema: int) -> Interpretation:
        interpret = self._interpreters[clean.segment.source]
        identify = (
            functools.partial(self._identities.identify, clean.segment)
            if schema >= IDS_BY_PLACE
            else None
        )
        return interpret(self._label(clean), clean, state, identify)

    def _label(self, clean: CleanChunk) -> str:
        segment = clean.segment
        return self._labels.label(segment.origin or segment.path)

    def _remember(self, key: _Key, found: Interpretation) -> None:
        size = _measure(key, found)
        if size > self._limit:
            return
        self._cache[key] = found
        self._cached_bytes += size
        while self._cached_bytes > self._limit:
            self._cached_bytes -= _measure(*self._cache.popitem(last=False))


def _measure(key: _Key, found: Interpretation) -> int:
    """Return about how much memory the events of a chunk take."""
    _, start, end, _, _ = key
    events, _ = found
    return max(EVENTS_PER_BYTE * (end - start), EVENT_BYTES * len(events))
