"""The events of clean chunks: interpreted once for all sinks that go side by side."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import structlog

from tracesidecar.dialects import (
    DialectEvent,
    Interpreter,
    UnreadableState,
    decode_state,
)
from tracesidecar.model import CHUNK_BYTES, CleanChunk
from tracesidecar.pipeline.chunk_reader import ChunkReader
from tracesidecar.pipeline.path_labels import PathLabels
from tracesidecar.tail.tailer import Tailer

log = structlog.get_logger()

EVENTS_PER_BYTE = 3
"""About how much more memory the events of a chunk take than its lines."""

Interpretation = tuple[list[DialectEvent], bytes]
"""The events of a chunk, and the interpreter's state after it."""


class _LineCount(NamedTuple):
    """The state at an offset up to which the lines of a segment were counted last."""

    segment: int
    offset: int
    state: bytes


class EventCache:
    """Interprets clean chunks, with a cache that is bounded in bytes."""

    def __init__(
        self,
        tailer: Tailer,
        chunks: ChunkReader,
        labels: PathLabels,
        interpreters: Mapping[str, Interpreter],
        *,
        cache_bytes: int,
    ) -> None:
        """`interpreters` are by source."""
        self._tailer = tailer
        self._chunks = chunks
        self._labels = labels
        self._interpreters = interpreters
        self._limit = cache_bytes // EVENTS_PER_BYTE
        self._cache: OrderedDict[tuple[int, int, int, bytes], Interpretation] = OrderedDict()
        self._held = 0
        self._line_count = _LineCount(0, 0, b"")
        self._has_warned = False

    @property
    def cached_bytes(self) -> int:
        """About how much memory the cache takes."""
        return self._held * EVENTS_PER_BYTE

    def interpret(self, clean: CleanChunk, state: bytes) -> Interpretation:
        """Return the events of a chunk; `state` is what the checkpoint before it has.

        The events are shared by all callers and must not be changed.
        """
        key = clean.segment.id, clean.start, clean.end, state
        found = self._cache.get(key)
        if found is None:
            found = self._interpret(clean, state)
            self._remember(key, found)
        return found

    def state_at(self, segment: int, offset: int) -> bytes:
        """Return the state for a reader that begins in the middle of a file.

        It has what the file's first lines say, and the number of lines before the offset.
        """
        known = self._line_count
        if known.segment != segment or not CHUNK_BYTES <= known.offset <= offset:
            first = self._chunks.peek(segment, offset)
            if first is None:
                return b""
            interpret = self._interpreters[first.segment.source]
            _, state = interpret(self._label(first), first, None)
            known = _LineCount(segment, first.end, state)
        file = decode_state(known.state)
        file.lines += sum(
            part.count(b"\n") + (not part)
            for part in self._tailer.read_range(segment, known.offset, offset) or ()
        )
        self._line_count = _LineCount(segment, offset, file.encode())
        return self._line_count.state

    def _interpret(self, clean: CleanChunk, state: bytes) -> Interpretation:
        interpret, label = self._interpreters[clean.segment.source], self._label(clean)
        if not clean.start:
            return interpret(label, clean, None)
        try:
            known = state or self.state_at(clean.segment.id, clean.start)
            return interpret(label, clean, known or None)
        except UnreadableState as error:
            if not self._has_warned:
                self._has_warned = True
                log.warning(
                    "state.unreadable",
                    path=label,
                    problem=str(error),
                    remedy="none needed: files go on by what their first lines say",
                )
            known = self.state_at(clean.segment.id, clean.start)
            return interpret(label, clean, known or None)

    def _label(self, clean: CleanChunk) -> str:
        segment = clean.segment
        return self._labels.label(segment.id, segment.origin or segment.path)

    def _remember(self, key: tuple[int, int, int, bytes], found: Interpretation) -> None:
        size = key[2] - key[1]
        if size > self._limit:
            return
        self._cache[key] = found
        self._held += size
        while self._held > self._limit:
            old, _ = self._cache.popitem(last=False)
            self._held -= old[2] - old[1]
